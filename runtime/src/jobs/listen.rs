//! What twins of a job's tenant do, as far as it is news to the job: heard from a watch, on a task of its own.

use std::sync::Arc;

use pollux_twin::TwinKey;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::act::Acting;
use super::limits::{AGAIN_AFTER, NEWS_MAX};
use super::machine::Sight;
use crate::access::Narrowed;
use crate::router::{Picture, Router, Scope, WatchItem};
use crate::watch::Watch;

/// What is heard.
pub(super) enum News {
    Seen(TwinKey, Sight),
    /// Something may have been missed.
    Missed,
}

/// See the module; it listens until it is dropped.
pub(super) struct Listener {
    news: mpsc::Receiver<News>,
    _task: JoinSet<()>,
}

impl Listener {
    /// Hears all that happens in a tenant from some time on, which begins with [`News::Missed`]: a shard that is at
    /// rest keeps nobody waiting.
    pub(super) fn open(router: Router, tenant: &str, acting: Arc<Acting>) -> Self {
        let scope = Scope::Prefix { tenant: tenant.to_owned(), prefix: String::new() };
        let (tell, news) = mpsc::channel(NEWS_MAX);
        let mut task = JoinSet::new();
        task.spawn(async move {
            while !tell.is_closed() {
                let Ok(watch) =
                    router.watch(scope.clone(), &Narrowed::default(), None, Picture::None).await
                else {
                    sleep(AGAIN_AFTER).await;
                    continue;
                };
                if tell.send(News::Missed).await.is_err() || pass_on(watch, &acting, &tell).await {
                    return;
                }
            }
        });
        Self { news, _task: task }
    }

    /// What is heard next; nothing more once the node stops.
    pub(super) async fn next(&mut self) -> Option<News> {
        self.news.recv().await
    }
}

/// Tells what a watch tells until it has missed something; whether nothing more is to be told.
async fn pass_on(mut watch: Watch, acting: &Acting, tell: &mpsc::Sender<News>) -> bool {
    while let Some(item) = watch.next().await {
        match item {
            WatchItem::Change { what, .. } => {
                let Some(sight) = acting.heard(&what.change) else { continue };
                if tell.send(News::Seen(what.key.clone(), sight)).await.is_err() {
                    return true;
                }
            }
            // A picture of all twins would say less than a look at those that are waited for.
            WatchItem::Reset { .. } => return false,
            _ => {}
        }
    }
    true
}
