//! What can be done, by name. Owns the names and the patterns over them; leaves which call is which action to the
//! doors.

/// Something that a principal may be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Read twins: one, its commands, or a list.
    TwinRead,
    /// Write tags or desired, and make twins by that.
    TwinWrite,
    /// Delete twins.
    TwinDelete,
    /// Find twins by what is in them.
    TwinQuery,
    /// Follow changes of twins.
    TwinWatch,
    /// Send commands to devices, and withdraw them.
    CommandSend,
    /// Register devices, and say by what they prove who they are.
    DeviceManage,
    /// See jobs, and where their devices stand.
    JobRead,
    /// Make jobs, pause, cancel and forget them.
    JobManage,
    /// Say what tenants may have of the cluster.
    TenantLimit,
    /// See artifacts, and read what is in them.
    ArtifactRead,
    /// Bring artifacts and take them away, and say by which keys they are signed.
    ArtifactManage,
    /// See nodes, shards, and what a node counts.
    ClusterRead,
    /// Change nodes, shards and settings of the cluster.
    ClusterAdmin,
    /// Take whole states of shards: every twin in them.
    ClusterBackup,
    /// See principals, policies, decisions and the audit.
    AccessRead,
    /// Change principals, tokens and policies.
    AccessAdmin,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 17] = [
        Self::TwinRead,
        Self::TwinWrite,
        Self::TwinDelete,
        Self::TwinQuery,
        Self::TwinWatch,
        Self::CommandSend,
        Self::DeviceManage,
        Self::JobRead,
        Self::JobManage,
        Self::TenantLimit,
        Self::ArtifactRead,
        Self::ArtifactManage,
        Self::ClusterRead,
        Self::ClusterAdmin,
        Self::ClusterBackup,
        Self::AccessRead,
        Self::AccessAdmin,
    ];

    /// Its name in policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TwinRead => "twin:read",
            Self::TwinWrite => "twin:write",
            Self::TwinDelete => "twin:delete",
            Self::TwinQuery => "twin:query",
            Self::TwinWatch => "twin:watch",
            Self::CommandSend => "command:send",
            Self::DeviceManage => "device:manage",
            Self::JobRead => "job:read",
            Self::JobManage => "job:manage",
            Self::TenantLimit => "tenant:limit",
            Self::ArtifactRead => "artifact:read",
            Self::ArtifactManage => "artifact:manage",
            Self::ClusterRead => "cluster:read",
            Self::ClusterAdmin => "cluster:admin",
            Self::ClusterBackup => "cluster:backup",
            Self::AccessRead => "access:read",
            Self::AccessAdmin => "access:admin",
        }
    }

    /// The action of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// Whether it is done to the cluster, not to twins.
    #[must_use]
    pub const fn is_of_cluster(self) -> bool {
        matches!(
            self,
            Self::TenantLimit
                | Self::ClusterRead
                | Self::ClusterAdmin
                | Self::ClusterBackup
                | Self::AccessRead
                | Self::AccessAdmin
        )
    }

    /// Whether a pattern names it: its name, `*`, or `twin:*`.
    #[must_use]
    pub fn matches(self, pattern: &str) -> bool {
        match pattern.strip_suffix('*') {
            Some(beginning) => self.name().starts_with(beginning),
            None => self.name() == pattern,
        }
    }

    /// Whether programs of level 4 do not know it.
    const fn is_of_level_5(self) -> bool {
        matches!(self, Self::TenantLimit | Self::ArtifactRead | Self::ArtifactManage)
    }

    /// Whether a pattern names an action, or all of a kind.
    #[must_use]
    pub fn is_pattern(pattern: &str) -> bool {
        Self::has_pattern(Self::ALL, pattern)
    }

    /// The same, to programs of level 4: what they refuse must not be agreed on before the cluster's level is raised.
    pub(crate) fn is_pattern_of_level_4(pattern: &str) -> bool {
        let known = Self::ALL.into_iter().filter(|action| !action.is_of_level_5());
        Self::has_pattern(known, pattern)
    }

    fn has_pattern(actions: impl IntoIterator<Item = Self>, pattern: &str) -> bool {
        let kind = pattern.strip_suffix('*');
        let whole = kind.is_none_or(|kind| kind.is_empty() || kind.ends_with(':'));
        whole && actions.into_iter().any(|action| action.matches(pattern))
    }
}
