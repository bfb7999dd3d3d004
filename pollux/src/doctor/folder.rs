//! What is in a node's folder: whose it is, and for how long its certificates are good; and whether the keys of signed
//! tokens can be had.

use pollux_cluster::Identity;
use pollux_runtime::clock::Clock;
use pollux_runtime::config::Checked;
use pollux_runtime::pki;

use super::finding::Finding;

/// Looks at it without taking it: a node may run there.
pub(super) fn look(config: &Checked) -> Vec<Finding> {
    let folder = &config.data_dir;
    let mut findings = vec![match Identity::read(folder) {
        Ok(None) => Finding::good(
            "data",
            format!("{} holds no node yet: `pollux start` makes one there", folder.display()),
        ),
        Ok(Some(identity)) => {
            let (node, shards) = (identity.node, identity.shards);
            let text = format!("{} is that of node {node}, {shards} shards", folder.display());
            match u32::from(config.cluster.shards) {
                wanted if wanted == shards => Finding::good("data", text),
                wanted => Finding::wrong(
                    "data",
                    format!("{text}; the configuration says {wanted}"),
                    format!("say cluster.shards = {shards}: it is fixed when a cluster is formed"),
                ),
            }
        }
        Err(fault) => Finding::wrong(
            "data",
            fault,
            "replace the node (`pollux node replace --help`), or restore a backup",
        ),
    }];
    findings.push(match pki::alarms(&folder.join(pki::PKI_DIR), Clock::new().wall()) {
        Err(error) => Finding::wrong(
            "certificates",
            error,
            "put the file back from a backup, or from another node of the cluster",
        ),
        Ok(alarms) if alarms.is_empty() => {
            Finding::good("certificates", "no CA of this node ends soon")
        }
        Ok(alarms) => Finding::wrong("certificates", alarms.join("; "), ""),
    });
    findings.extend(pki::unfit_files(config, Clock::new().wall()).into_iter().map(|problem| {
        let next =
            "mend the files: a node that runs goes on with those it had, one that starts does not";
        Finding::wrong("certificates", problem, next)
    }));
    findings
}

/// Looks whether the keys of signed tokens can be had from here.
pub(super) async fn issuer(config: &Checked) -> Option<Finding> {
    let issuer = config.access.issuer.as_ref()?;
    Some(match pollux_runtime::try_issuer(issuer).await {
        Ok(keys) => {
            Finding::good("issuer", format!("{} has {keys} keys to be used", issuer.issuer))
        }
        Err(problem) => Finding::wrong(
            "issuer",
            format!("keys of {}: {problem}", issuer.issuer),
            "mend access.jwt_keys; where a server's certificate is not known, name its CA with access.jwt_ca",
        ),
    })
}
