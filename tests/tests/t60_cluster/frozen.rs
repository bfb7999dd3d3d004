//! An owner that stands still (SIGSTOP) for longer than others wait for it, and goes on (SIGCONT) as if
//! nothing had happened: it must never answer from its old state, not even what was asked while it stood.

use std::time::Duration;

use anyhow::Result;
use pollux_tests::clients::{Crowd, Load};
use pollux_tests::node::Devices;
use pollux_tests::node::cluster::{Cluster, QUICK};
use tokio::time::sleep;

/// How often an owner is frozen.
const ROUNDS: u64 = 2;
/// Time for requests to lie in the frozen node's sockets before it goes on.
const ON_THEIR_WAY: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_owner_never_answers_from_its_old_state() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let load = Load::start(&cluster.options, &devices, Crowd::default())?;
    load.all_served().await?;
    for round in 0..ROUNDS {
        let owner = cluster.busiest()?;
        cluster.node(owner)?.freeze()?;
        // Others own its shards by now, and have acknowledged newer states.
        load.all_served().await?;
        load.services_served().await?;
        let reads = load.twins().iter().flat_map(|twin| [twin; 4]);
        let waiting = futures(reads.map(|twin| load.read_at(owner, twin)));
        let thaw = async {
            sleep(ON_THEIR_WAY).await;
            cluster.node(owner)?.go_on()
        };
        let (read, thawed) = tokio::join!(waiting, thaw);
        thawed?;
        let answered = read.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().count();
        eprintln!("round {round}: {answered} reads that lay in its sockets were answered");
        // Frozen for a moment only: nobody may have noticed, or everybody.
        cluster.node(owner)?.freeze()?;
        sleep(Duration::from_millis(100 + round * 120)).await;
        cluster.node(owner)?.go_on()?;
        load.all_served().await?;
        cluster.settled()?;
    }
    load.check(&cluster.there()).await?;
    Ok(())
}

/// All of them at the same time.
async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *done = Some(output);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}
