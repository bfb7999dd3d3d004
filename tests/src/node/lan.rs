//! A network in which each node has a network namespace of its own, joined by a bridge that the test
//! itself stands at: devices and services come from there. Needs root and `ip`.
//!
//! A way is cut in one direction by a false link address for the other end: the packets leave and reach
//! nobody, as on a broken cable, while those of the other direction arrive.

use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use super::NodeOptions;

/// Networks made by this process, for names of their own.
static MADE: AtomicU32 = AtomicU32::new(0);
/// Networks that can be told apart by the third number of their addresses.
const NETS: u32 = 250;
/// Link address of nobody.
const NOBODY: &str = "02:00:00:00:00:ff";
/// The test's own place, beside the nodes 1, 2, 3.
pub const OUTSIDE: usize = 254;

/// See the module. All of it is gone when dropped.
pub struct Lan {
    name: String,
    /// The third number of its addresses.
    net: u32,
    nodes: usize,
}

impl Lan {
    /// `None` where this process may not make one, which is said loudly.
    pub fn make(nodes: usize) -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED, NOTHING WAS TESTED: network namespaces need root");
            return Ok(None);
        }
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        // Interfaces have short names; two processes seldom share these digits, and `ip` says so.
        let name = format!("px{}x{number}", id() % 100_000);
        // Other runs on this machine may have theirs.
        let taken = match ip(&["-4", "-o", "addr"]) {
            Ok(taken) => taken,
            Err(error) => {
                eprintln!("SKIPPED, NOTHING WAS TESTED: there is no `ip`: {error:#}");
                return Ok(None);
            }
        };
        let mut nets = (0..NETS).map(|more| (id() + number + more) % NETS);
        let net = nets.find(|net| !taken.contains(&format!("10.213.{net}.")));
        let net = net.context("10.213.0.0/16 is full of networks")?;
        let lan = Self { name, net, nodes };
        match lan.build() {
            Ok(()) => Ok(Some(lan)),
            Err(error) if lan.may_not() => {
                eprintln!("SKIPPED, NOTHING WAS TESTED: no network namespaces here: {error:#}");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether not even one empty namespace can be made: then it is the place, not this module.
    fn may_not(&self) -> bool {
        let probe = format!("{}probe", self.name);
        let made = ip(&["netns", "add", &probe]).is_ok();
        let _gone = ip(&["netns", "del", &probe]);
        !made
    }

    fn build(&self) -> Result<()> {
        let bridge = &self.name;
        ip(&["link", "add", bridge, "type", "bridge"])?;
        ip(&["addr", "add", &format!("{}/24", self.address(OUTSIDE)), "dev", bridge])?;
        ip(&["link", "set", bridge, "up"])?;
        for node in 1..=self.nodes {
            let (space, veth) = (self.space(node), format!("{bridge}v{node}"));
            ip(&["netns", "add", &space])?;
            let pair = ["link", "add", &veth, "type", "veth", "peer", "name", "eth0"];
            ip(&[&pair[..], &["netns", &space]].concat())?;
            ip(&["link", "set", &veth, "master", bridge, "up"])?;
            ip(&[
                "-n",
                &space,
                "addr",
                "add",
                &format!("{}/24", self.address(node)),
                "dev",
                "eth0",
            ])?;
            ip(&["-n", &space, "link", "set", "lo", "up"])?;
            ip(&["-n", &space, "link", "set", "eth0", "up"])?;
        }
        Ok(())
    }

    fn space(&self, node: usize) -> String {
        format!("{}n{node}", self.name)
    }

    fn address(&self, node: usize) -> String {
        format!("10.213.{}.{node}", self.net)
    }

    /// Puts a node in its place.
    pub(super) fn put(&self, options: &mut NodeOptions, node: usize) {
        let at = |port: u16| format!("{}:{port}", self.address(node));
        options.devices = at(4433);
        options.grpc = at(4434);
        options.http = at(4435);
        options.peers = at(4436);
        options.namespace = Some(self.space(node));
        options.variables.push(("POLLUX_SERVICES__PLAINTEXT".to_owned(), "true".to_owned()));
        options.variables.push(("POLLUX_ACCESS__MODE".to_owned(), "open".to_owned()));
    }

    /// From now on nothing that `from` sends reaches `to`. Nodes count from 1; [`OUTSIDE`] is the test.
    pub fn cut(&self, from: usize, to: usize) -> Result<()> {
        self.way(from, to, &["replace"], &["lladdr", NOBODY, "nud", "permanent"])
    }

    /// Cuts both directions.
    pub fn cut_both(&self, one: usize, other: usize) -> Result<()> {
        self.cut(one, other)?;
        self.cut(other, one)
    }

    /// Opens a direction again.
    pub fn heal(&self, from: usize, to: usize) -> Result<()> {
        self.way(from, to, &["del"], &[])
    }

    /// Opens both directions again.
    pub fn heal_both(&self, one: usize, other: usize) -> Result<()> {
        self.heal(one, other)?;
        self.heal(other, one)
    }

    fn way(&self, from: usize, to: usize, verb: &[&str], how: &[&str]) -> Result<()> {
        let (space, address) = (self.space(from), self.address(to));
        let inside = ["-n", space.as_str()];
        let (inside, device) = match from {
            OUTSIDE => (&[][..], self.name.as_str()),
            _ => (&inside[..], "eth0"),
        };
        ip(&[inside, &["neigh"], verb, &[&address], how, &["dev", device]].concat()).map(drop)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        // What was not made cannot be taken away; the rest must be.
        for node in 1..=self.nodes {
            let _not_there = ip(&["netns", "del", &self.space(node)]);
        }
        let _not_there = ip(&["link", "del", &self.name]);
    }
}

fn ip(args: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(args).output()?;
    if !output.status.success() {
        bail!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
