//! `pollux doctor`: looks for what is wrong with a set-up, and says what to do. Owns which things are looked
//! at; each is in a file beside.

mod cluster;
mod finding;
mod folder;
mod machine;

use pollux_runtime::clock::Clock;
use pollux_runtime::config::Layers;
use serde_json::json;

use crate::args::{DoctorArgs, Output};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::{cluster_status, configure, print};
use finding::{Finding, Verdict};
use machine::Running;

/// Looks at everything; fails if something is wrong.
pub(crate) async fn run(output: Output, args: &DoctorArgs) -> Result<(), Failure> {
    let (mut findings, running) = ask(args).await;
    match configure::layers(Layers::new(), &args.node).check() {
        Err(errors) => {
            let next = "see every key and what it takes with `pollux config show`";
            findings.insert(0, Finding::wrong("configuration", errors, next));
        }
        Ok(config) if !args.cluster_only => {
            let mut local = vec![Finding::good("configuration", "every key is known and in range")];
            local.extend(folder::look(&config));
            local.extend(folder::issuer(&config).await);
            local.extend(machine::look(&config, running));
            findings.splice(0..0, local);
        }
        Ok(_) => {}
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (wrong, notes) = (count(Verdict::Wrong), count(Verdict::Note));
    let lines: Vec<_> = findings.iter().map(Finding::line).collect();
    let document = json!({
        "wrong": wrong,
        "notes": notes,
        "findings": findings.iter().map(Finding::document).collect::<Vec<_>>(),
    });
    print::result(output, &lines.join("\n"), &document)?;
    match wrong {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Failed, "one thing is wrong")),
        wrong => Err(Failure::new(Exit::Failed, format!("{wrong} things are wrong"))),
    }
}

/// What the cluster says, and whether a node answers at all.
async fn ask(args: &DoctorArgs) -> (Vec<Finding>, Running) {
    let asked = async { cluster_status::ask(&Client::connect(&args.client).await?).await };
    match asked.await {
        Ok(status) => (cluster::look(&status, Clock::new().wall()), Running::Yes),
        // A node that refuses is there.
        Err(failure) => {
            let running = match failure.exit {
                Exit::Refused => Running::Yes,
                _ => Running::No,
            };
            let next = failure.next.unwrap_or_default();
            let finding = match args.cluster_only || failure.exit != Exit::Unavailable {
                true => Finding::wrong("cluster", failure.message, next),
                false => Finding::note("cluster", failure.message, next),
            };
            (vec![finding], running)
        }
    }
}
