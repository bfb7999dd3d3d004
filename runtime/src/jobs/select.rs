//! Whom a job's selector selects, as of when it is asked: all that was acknowledged before is seen.

use std::sync::Arc;

use pollux_proto::v1;
use pollux_twin::{Rejection, Time, TwinKey, Value};

use super::limits::DEVICES_MAX;
use super::plan::{Whose, wrong};
use crate::access::Narrowed;
use crate::query::{Answer, Question};
use crate::router::{Router, Scope};
use crate::watch::Sieve;

/// How many a selector selects now.
pub(crate) async fn count(
    router: &Router,
    now: Time,
    tenant: &str,
    whose: &Whose,
) -> Result<u64, Rejection> {
    match whose {
        Whose::Named(keys) => Ok(keys.len() as u64),
        Whose::Fleet { prefix, filter } => {
            Ok(counted(router, now, tenant, prefix, filter).await?.part.matched)
        }
    }
}

/// Refuses a selector that selects nobody, or more than a job takes.
pub(crate) fn check_count(count: u64) -> Result<(), Rejection> {
    if count == 0 {
        let reason = "selector: selects no device; see what it selects with a query first";
        return Err(wrong(reason));
    }
    if count > DEVICES_MAX as u64 {
        return Err(wrong(format!(
            "selector: selects {count} devices; a job takes {DEVICES_MAX}, so make several"
        )));
    }
    Ok(())
}

/// Those that a selector selects, in order of their names: counted by the cluster itself, and told to whoever asks.
pub(super) async fn select(
    (router, asker): (&Router, &Router),
    now: Time,
    tenant: &str,
    whose: &Whose,
) -> Result<Vec<TwinKey>, Rejection> {
    let (prefix, filter) = match whose {
        Whose::Named(keys) => return Ok(keys.clone()),
        Whose::Fleet { prefix, filter } => (prefix, filter),
    };
    let counted = counted(router, now, tenant, prefix, filter).await?;
    if counted.part.matched > DEVICES_MAX as u64 {
        check_count(counted.part.matched)?;
    }
    let scope = Scope::Prefix { tenant: tenant.to_owned(), prefix: prefix.clone() };
    let all = if filter.is_empty() { "true" } else { filter };
    // One of which nothing can be told is none of those that were counted.
    let asked = Narrowed { bounds: all.to_owned(), ..Narrowed::all(all) };
    let sieve = Sieve::of(scope.beginning(), &asked)?;
    let sieve = Arc::new(sieve.expect("it asks something"));
    let mut found = Vec::new();
    for (shard, place) in &counted.position.shards {
        let mut after = None;
        loop {
            let at = (*shard, place.index);
            let page = asker.sift(at, Arc::clone(&sieve), after.as_ref()).await?;
            found.extend(page.items.into_iter().map(|(key, _)| key));
            if found.len() > DEVICES_MAX {
                check_count(found.len() as u64)?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Counts, and says as of which places.
async fn counted(
    router: &Router,
    now: Time,
    tenant: &str,
    prefix: &str,
    filter: &str,
) -> Result<Answer, Rejection> {
    let named = format!("id.startsWith({})", Value::from(prefix).to_json());
    let filter = match (prefix, filter) {
        ("", filter) => filter.to_owned(),
        (_, "") => named,
        (_, filter) => format!("{named} && ({filter})"),
    };
    let tenant = tenant.to_owned();
    let request = v1::QueryRequest { tenant, filter, count: true, ..Default::default() };
    let filter = |_: &str| Ok(request.filter.clone());
    router.query(&Question::read(&request, filter, now)?).await
}
