//! Nodes that are cut off from each other, from devices and services, or in one direction only: whoever is
//! still reached by a majority serves, and nobody else does. Each node has a network namespace of its own;
//! where they cannot be made, nothing is tested, which is said loudly.

use anyhow::Result;
use pollux_tests::clients::{Crowd, Load};
use pollux_tests::node::Devices;
use pollux_tests::node::cluster::{Cluster, Place, QUICK};
use pollux_tests::node::lan::{Lan, OUTSIDE};

/// Nodes of the cluster, and their numbers in the network.
const NODES: usize = 3;

struct Run<'a> {
    lan: &'a Lan,
    cluster: &'a Cluster,
    load: &'a Load,
}

impl Run<'_> {
    /// The node that owns most shards, by its number, and the others.
    fn owner(&self) -> Result<(usize, Vec<usize>)> {
        let owner = self.cluster.busiest()? + 1;
        Ok((owner, (1..=NODES).filter(|node| *node != owner).collect()))
    }

    /// All is well again.
    async fn healed(&self, what: &str) -> Result<()> {
        self.cluster.settled()?;
        self.load.all_served().await?;
        eprintln!("{what}: healed, {:?}", self.load.tries());
        Ok(())
    }

    /// Devices still reach the old owner, which reaches no majority: they must find the new one.
    async fn owner_without_followers(&self) -> Result<()> {
        let (owner, others) = self.owner()?;
        others.iter().try_for_each(|other| self.lan.cut_both(owner, *other))?;
        self.load.all_served().await?;
        self.load.services_served().await?;
        others.iter().try_for_each(|other| self.lan.heal_both(owner, *other))?;
        self.healed("an owner without followers").await
    }

    /// The owner keeps its followers and its shards; services reach it through them.
    async fn owner_without_clients(&self) -> Result<()> {
        let (owner, _) = self.owner()?;
        self.lan.cut_both(owner, OUTSIDE)?;
        self.load.services_served().await?;
        self.lan.heal_both(owner, OUTSIDE)?;
        self.healed("an owner without clients").await
    }

    /// The owner hears its followers, and they do not hear it.
    async fn owner_that_is_not_heard(&self) -> Result<()> {
        let (owner, others) = self.owner()?;
        others.iter().try_for_each(|other| self.lan.cut(owner, *other))?;
        self.load.all_served().await?;
        others.iter().try_for_each(|other| self.lan.heal(owner, *other))?;
        self.healed("an owner that is not heard").await
    }

    /// The followers hear their owner, which does not hear them.
    async fn owner_that_does_not_hear(&self) -> Result<()> {
        let (owner, others) = self.owner()?;
        others.iter().try_for_each(|other| self.lan.cut(*other, owner))?;
        self.load.all_served().await?;
        others.iter().try_for_each(|other| self.lan.heal(*other, owner))?;
        self.healed("an owner that does not hear").await
    }

    /// Two nodes do not reach each other, and both reach the third.
    async fn a_bridge(&self) -> Result<()> {
        let (owner, others) = self.owner()?;
        self.lan.cut_both(owner, others[0])?;
        self.load.all_served().await?;
        self.load.services_served().await?;
        self.lan.heal_both(owner, others[0])?;
        self.healed("a bridge").await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_cut_off_serves_nothing_old() -> Result<()> {
    let Some(lan) = Lan::make(NODES)? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::form_at(dir.path(), NODES, QUICK, &Place::Lan(&lan))?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let load = Load::start(&cluster.options, &devices, Crowd::default())?;
    load.all_served().await?;
    let run = Run { lan: &lan, cluster: &cluster, load: &load };
    run.owner_without_followers().await?;
    run.owner_without_clients().await?;
    run.owner_that_is_not_heard().await?;
    run.owner_that_does_not_hear().await?;
    run.a_bridge().await?;
    load.check(&cluster.there()).await?;
    Ok(())
}
