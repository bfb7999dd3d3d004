//! Plays a script of faults on a cluster of this machine: kills, stops and cuts off its nodes when it is time,
//! and heals everything in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pollux_simulator::{FaultStep, NodeFault, Phase, Target, Timeline};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use crate::exit::{Exit, Failure};
use crate::local_cluster::LocalCluster;
use crate::print;

/// Something that is due.
#[derive(Clone, Copy, Debug)]
enum Event {
    Begin(NodeFault),
    /// A node that was killed is started.
    Start(usize),
    /// One that stands still goes on.
    Continue(usize),
    /// Its wires are mended.
    Mend(usize),
    /// Its disk is as fast as it is.
    Hasten(usize),
}

/// Where faults are played. Nodes are named here by their numbers counted from 0.
pub(crate) struct Stage<'a> {
    cluster: &'a mut LocalCluster,
    timeline: Timeline,
    began: Duration,
    /// What is due, by when since the beginning; the number keeps those of one time in order.
    events: BTreeMap<(Duration, u64), Event>,
    numbered: u64,
    chance: u64,
    still: BTreeSet<usize>,
    down: BTreeSet<usize>,
}

impl<'a> Stage<'a> {
    /// A stage where nothing has happened yet.
    pub(crate) const fn new(cluster: &'a mut LocalCluster, timeline: Timeline, seed: u64) -> Self {
        Self {
            cluster,
            timeline,
            began: Duration::ZERO,
            events: BTreeMap::new(),
            numbered: 0,
            chance: seed,
            still: BTreeSet::new(),
            down: BTreeSet::new(),
        }
    }

    /// Plays the script from the beginning of the measurement to its end, or that of the script.
    pub(crate) async fn play(
        &mut self,
        script: Vec<FaultStep>,
        mut phases: watch::Receiver<Phase>,
    ) -> Result<(), Failure> {
        // The sender goes when the fleet ends, whatever the reason: its report says it.
        let _ = phases.wait_for(|phase| *phase == Phase::Measuring).await;
        self.began = self.timeline.now();
        script.into_iter().for_each(|step| self.due(step.at, Event::Begin(step.fault)));
        while let Some(((at, _), event)) = self.events.pop_first() {
            let wait = at.saturating_sub(self.elapsed());
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = phases.wait_for(|phase| *phase > Phase::Measuring) => {
                    say("the measurement is over before the script; all is healed");
                    return Ok(());
                }
            }
            self.happen(event).await?;
        }
        let _ = phases.wait_for(|phase| *phase > Phase::Measuring).await;
        Ok(())
    }

    /// Ends everything that is wrong with any node.
    pub(crate) async fn heal(&mut self) -> Result<(), Failure> {
        for number in 0..self.cluster.nodes.len() {
            self.cluster.wires().mend(number);
            self.go_on(number)?;
            self.cluster.nodes[number].slow(Duration::ZERO)?;
        }
        self.start_all().await
    }

    fn elapsed(&self) -> Duration {
        self.timeline.now() - self.began
    }

    fn due(&mut self, at: Duration, event: Event) {
        self.numbered += 1;
        self.events.insert((at, self.numbered), event);
    }

    fn later(&mut self, after: Option<Duration>, event: Event) {
        if let Some(after) = after {
            self.due(self.elapsed() + after, event);
        }
    }

    async fn happen(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Begin(fault) => self.begin(fault).await,
            Event::Start(number) => self.start(number).await,
            Event::Continue(number) => self.go_on(number),
            Event::Mend(number) => {
                self.say(&format!("the wires of node {} are mended", number + 1));
                self.cluster.wires().mend(number);
                Ok(())
            }
            Event::Hasten(number) => {
                self.say(&format!("the disk of node {} is fast again", number + 1));
                self.cluster.nodes[number].slow(Duration::ZERO)
            }
        }
    }

    async fn begin(&mut self, fault: NodeFault) -> Result<(), Failure> {
        match fault {
            NodeFault::Kill(target, back) => {
                let number = self.find(target).await?;
                self.say(&format!("node {} is killed", number + 1));
                self.cluster.nodes[number].kill().await?;
                self.still.remove(&number);
                self.down.insert(number);
                self.later(back, Event::Start(number));
            }
            NodeFault::Stop(target, long) => {
                let number = self.find(target).await?;
                self.say(&format!("node {} stands still for {long:?}", number + 1));
                self.signal(number, Signal::STOP)?;
                self.still.insert(number);
                self.later(Some(long), Event::Continue(number));
            }
            NodeFault::Partition(target, long) => {
                let number = self.find(target).await?;
                self.say(&format!("node {} is cut off from the others", number + 1));
                self.cluster.wires().cut(number);
                self.later(long, Event::Mend(number));
            }
            NodeFault::Slow(target, delay, long) => {
                let number = self.find(target).await?;
                self.say(&format!("each sync of node {} takes {delay:?} longer", number + 1));
                self.cluster.nodes[number].slow(delay)?;
                self.later(long, Event::Hasten(number));
            }
            NodeFault::Restart(target) => {
                let number = self.find(target).await?;
                self.say(&format!("node {} is stopped in order", number + 1));
                self.cluster.nodes[number].stop().await?;
                self.down.insert(number);
                self.start(number).await?;
            }
            NodeFault::Start(target) => {
                let number = self.find(target).await?;
                self.start(number).await?;
            }
            NodeFault::Heal => {
                self.say("all is healed");
                self.heal().await?;
            }
        }
        Ok(())
    }

    /// Starts a node that is down; where the majority is down, once enough of them are to be started:
    /// before that none of them would say where it listens.
    async fn start(&mut self, number: usize) -> Result<(), Failure> {
        let (down, all) = (self.down.len(), self.cluster.nodes.len());
        if !self.down.contains(&number) {
            return Ok(());
        }
        if (all - down + 1) * 2 > all {
            return self.start_these(&BTreeSet::from([number])).await;
        }
        self.say(
            "too few nodes run for one more to find a majority: all that are down are started",
        );
        self.start_all().await
    }

    async fn start_all(&mut self) -> Result<(), Failure> {
        let down = std::mem::take(&mut self.down);
        self.start_these(&down).await
    }

    async fn start_these(&mut self, numbers: &BTreeSet<usize>) -> Result<(), Failure> {
        for number in numbers {
            self.say(&format!("node {} is started", number + 1));
            self.down.remove(number);
        }
        self.cluster.start(numbers).await
    }

    fn go_on(&mut self, number: usize) -> Result<(), Failure> {
        if !self.still.remove(&number) {
            return Ok(());
        }
        self.say(&format!("node {} goes on", number + 1));
        self.signal(number, Signal::CONT)
    }

    fn signal(&self, number: usize, signal: Signal) -> Result<(), Failure> {
        let pid = self.cluster.nodes[number].pid().and_then(|pid| i32::try_from(pid).ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else { return Ok(()) };
        kill_process(pid, signal)
            .map_err(|error| Failure::new(Exit::Failed, format!("node {}: {error}", number + 1)))
    }

    /// Which node is meant now; one that can be asked says who owns what.
    async fn find(&mut self, target: Target) -> Result<usize, Failure> {
        let there = |id: u64| usize::try_from(id).unwrap_or(usize::MAX).saturating_sub(1);
        match target {
            Target::Node(id) => Ok(there(id)),
            Target::Any => {
                self.chance = mix(self.chance);
                let all = self.cluster.nodes.len() as u64;
                Ok(there(self.chance % all + 1))
            }
            Target::Owner => {
                let asked = (0..self.cluster.nodes.len())
                    .find(|number| !self.still.contains(number) && !self.down.contains(number));
                let nobody = || Failure::new(Exit::Failed, "no node can say who owns most shards");
                let asked = asked.ok_or_else(nobody)?;
                let status = self.cluster.status_of(asked).await?;
                let most = status.nodes.iter().max_by_key(|node| node.owned);
                most.map(|node| there(node.id)).ok_or_else(nobody)
            }
        }
    }

    fn say(&self, what: &str) {
        say(&format!("{:>6.1} s  {what}", self.elapsed().as_secs_f64()));
    }
}

/// What happens to the nodes goes beside the progress of the run.
fn say(text: &str) {
    print::status_end();
    print::note(text);
}

/// The next number of a sequence that looks like chance (splitmix64).
const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
