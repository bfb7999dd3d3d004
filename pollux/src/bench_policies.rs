//! `pollux bench policies`: what policies cost: a node that enforces access under very many of them, with filters, and one
//! whose doors are open, under the same load, in turn, in one run.

use pollux_client::{Client, Options};
use pollux_proto::v1;
use pollux_runtime::ROOT_TOKEN_FILE;
use pollux_simulator::{Load, Report};
use serde_json::{Value, json};

use crate::args::{BenchPoliciesArgs, Output};
use crate::bench::{self, dir};
use crate::bench_start::failed;
use crate::exit::Failure;
use crate::node_process::NodeProcess;
use crate::{print, sim};

/// Who asks.
const PRINCIPAL: &str = "bench";

/// What is compared: reports of devices, and reads of services.
#[derive(Clone, Copy)]
struct Figure {
    what: &'static str,
    load: Load,
    of: fn(&Report) -> Option<f64>,
}

/// Carries out the verb.
pub(crate) async fn run(output: Output, args: &BenchPoliciesArgs) -> Result<(), Failure> {
    let figures = [
        Figure {
            what: "reports acknowledged",
            load: Load::OneInFlight,
            of: |report| report.acked_per_server_cpu_s,
        },
        Figure {
            what: "twins read",
            load: Load::Reads { parallel: args.bench.parallel },
            of: |report| report.reads_per_server_cpu_s,
        },
    ];
    let mut rounds = Vec::new();
    for round in 1..=args.bench.rounds {
        for figure in figures {
            let (mut enforced, mut open) = (None, None);
            // Whoever is first has the cooler machine: that changes from round to round.
            for is_enforced in [round % 2 == 1, round % 2 == 0] {
                let policies = is_enforced.then_some(args.policies);
                let of = (figure.of)(&side(args, figure.load, policies).await?);
                *if is_enforced { &mut enforced } else { &mut open } = of;
            }
            let ratio = enforced.zip(open).map(|(enforced, open)| enforced / open);
            if output == Output::Text {
                let shown = |one: Option<f64>| {
                    one.map_or_else(|| "-".to_owned(), |one| format!("{one:.0}"))
                };
                print::line(&format!(
                    "round {round}: {} for a CPU-second of the node: {} under {} policies, {} open, ratio {}",
                    figure.what,
                    shown(enforced),
                    args.policies,
                    shown(open),
                    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}")),
                ))?;
            }
            rounds.push(json!({
                "round": round, "what": figure.what, "policies": args.policies,
                "enforced_per_server_cpu_s": enforced, "open_per_server_cpu_s": open, "ratio": ratio,
            }));
        }
    }
    match output {
        Output::Text => Ok(()),
        Output::Json => print::line(&Value::from(rounds).to_string()),
    }
}

/// One node under the load: with so many policies, or open.
async fn side(
    args: &BenchPoliciesArgs,
    load: Load,
    policies: Option<u32>,
) -> Result<Report, Failure> {
    let mode = if policies.is_some() { "enforced" } else { "open" };
    let variables = [("POLLUX_ACCESS__MODE", mode.to_owned())];
    let dir = dir(mode);
    let node = NodeProcess::node_with(dir.clone(), args.bench.server_core, &variables).await?;
    let measured = async {
        let mut options = bench::options(&args.bench, load, &node)?;
        if let Some(policies) = policies {
            let root = std::fs::read_to_string(dir.join(ROOT_TOKEN_FILE))
                .map_err(|error| failed("read the node's own token", &error))?;
            options.services_token = Some(admit(&node, root.trim(), policies).await?);
        }
        pollux_simulator::run(options, bench::show).await.map_err(sim::wrong)
    };
    let measured = measured.await;
    print::status_end();
    node.stop().await.and(measured)
}

/// Makes the policies, and a token of one who may read the twins for which the filter of one of them holds. The others are
/// of as many others.
async fn admit(node: &NodeProcess, root: &str, policies: u32) -> Result<String, Failure> {
    let options = Options::new([format!("http://{}", node.listening().grpc)]).token(root);
    let client = Client::new(&options)?;
    let access = client.access();
    for n in 1..=policies {
        let principal =
            if n == policies { PRINCIPAL.to_owned() } else { format!("{PRINCIPAL}-{n}") };
        let policy = v1::Policy {
            name: principal.clone(),
            principals: vec![principal.clone()],
            actions: vec!["twin:read".to_owned()],
            on: vec!["*".to_owned()],
            filter: r#"!("north" in groups) && id != """#.to_owned(),
            ..Default::default()
        };
        access.put_principal(v1::Principal { name: principal, ..Default::default() }).await?;
        access.put_policy(policy).await?;
    }
    let asked = v1::IssueTokenRequest { principal: PRINCIPAL.to_owned(), ..Default::default() };
    Ok(access.issue_token(asked).await?.token)
}
