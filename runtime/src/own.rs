//! Twins of Pollux's own: what the cluster remembers for its callers, kept, moved and restored like any device's.
//! Owns the tenant that they live in and how they are named; leaves what is in them to those who keep them.

use pollux_twin::{DeviceId, Rejection, TenantId, TwinKey, id};

/// The tenant of Pollux's own twins, which services read and only Pollux writes.
pub(crate) const RESERVED: &str = "_pollux";
/// As whom the cluster keeps its own.
pub(crate) const CALLER: &str = "pollux";
/// Bytes of the name of something that is kept in one: it is a part of a twin's name.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// Whether a twin is Pollux's own.
pub(crate) fn is_reserved(key: &TwinKey) -> bool {
    key.tenant() == RESERVED
}

/// The twin of something of a kind that a tenant knows by a name.
pub(crate) fn key(kind: &str, tenant: &str, name: &str) -> Result<TwinKey, Rejection> {
    let invalid = |reason| Rejection::Invalid { reason };
    let name = checked(name)?;
    let tenant = if tenant.is_empty() { id::DEFAULT_TENANT } else { tenant };
    TenantId::parse(tenant).map_err(|error| invalid(format!("tenant: {error}")))?;
    named(&format!("{kind}{tenant}:{name}")).map_err(|error| invalid(format!("name: {error}")))
}

/// A name of something that is kept in one, if it is fit to be one.
pub(crate) fn checked(name: &str) -> Result<&str, Rejection> {
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(usable) {
        let reason = format!(
            "name {name:?}: takes 1 to {NAME_BYTES_MAX} letters, digits, dots, underscores and hyphens"
        );
        return Err(Rejection::Invalid { reason });
    }
    Ok(name)
}

/// The twin of that name.
pub(crate) fn named(device: &str) -> Result<TwinKey, id::IdError> {
    let reserved = TenantId::parse(RESERVED).expect("it is a tenant's name");
    Ok(TwinKey::new(&reserved, &DeviceId::parse(device)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_tenants_kept_apart() {
        assert_eq!(
            key("subscription:", "", "a").unwrap().as_str(),
            "_pollux/subscription:default:a"
        );
        assert!(is_reserved(&key("job:", "acme", "a.b-c_9").unwrap()));
        for bad in ["", "a:b", "a/b", "ä", &"x".repeat(65)] {
            assert!(matches!(key("job:", "acme", bad), Err(Rejection::Invalid { .. })), "{bad}");
        }
        assert!(key("job:", "a/b", "x").is_err());
    }
}
