//! How fresh an answer from an applied table must be.

use pollux_twin::Rejection;

use super::invalid;
use crate::position::Position;

/// What a caller of a stale read or a list asks; nothing asked is always met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// The answer must show what was at this position, in each shard that it names.
    pub min_position: Option<Position>,
    /// The answer may be this much behind what was acknowledged elsewhere.
    pub max_age_ms: Option<u64>,
}

/// `min_position`, empty for none, and `max_age_ms` of a request.
pub fn freshness(min_position: &str, max_age_ms: Option<u64>) -> Result<Freshness, Rejection> {
    let min_position = match min_position {
        "" => None,
        text => Some(text.parse().map_err(|error| invalid("min_position", &error))?),
    };
    Ok(Freshness { min_position, max_age_ms })
}
