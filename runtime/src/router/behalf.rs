//! For whom twins are asked: who else has to check that a principal may.

use std::sync::Arc;

use pollux_cluster::meta::CONTROL_LEVEL;
use pollux_twin::Rejection;

use super::{Call, Router};

impl Router {
    /// The same for a principal: other nodes that are asked check once more that it may. Those of a cluster
    /// that does not know principals yet cannot.
    pub(crate) fn on_behalf(&self, principal: &Arc<str>) -> Self {
        let known = self.inner.owners.level() >= CONTROL_LEVEL;
        let forward = self.forward.on_behalf(known.then(|| Arc::clone(principal)));
        Self { inner: Arc::clone(&self.inner), forward }
    }

    /// A principal whose right has to be decided where the twin is: at the very state that its call is decided on. Others
    /// are refused here what they may not.
    pub(super) fn to_be_decided_by_twin(
        &self,
        principal: Option<&Arc<str>>,
        call: &Call,
    ) -> Result<Option<Arc<str>>, Rejection> {
        let Some(name) = principal else { return Ok(None) };
        let for_twin = self.inner.policies.is_for_twin(name, &call.key, &call.request)?;
        Ok(for_twin.then(|| Arc::clone(name)))
    }
}
