//! Who may do what, made and tried out by the service client against the real program.

use anyhow::{Result, ensure};
use pollux_client::{Client, Options, Rejection, Section, v1};
use pollux_tests::node::{NodeOptions, NodeProcess};
use serde_json::json;

fn as_whom(node: &NodeProcess, token: &str) -> Result<Client> {
    Ok(Client::new(&Options::new([format!("http://{}", node.grpc)]).token(token))?)
}

fn texts<const N: usize>(of: [&str; N]) -> Vec<String> {
    of.map(str::to_owned).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_may_do_what_its_policy_says_until_its_token_is_revoked() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = NodeOptions::new(&dir.path().join("node"));
    let node = options.with("POLLUX_ACCESS__MODE", "enforced").start()?;
    let root = std::fs::read_to_string(node.data().join(pollux_runtime::ROOT_TOKEN_FILE))?;
    let operator = as_whom(&node, root.trim())?;
    let access = operator.access();

    let subject = v1::PrincipalSubject { issuer: "https://id.example".into(), subject: "7".into() };
    let tuner = v1::Principal {
        name: "tuner".into(),
        note: "of a test".into(),
        subjects: vec![subject],
        ..Default::default()
    };
    access.put_principal(tuner.clone()).await?;
    // Put twice it is as put once.
    access.put_principal(tuner.clone()).await?;
    let asked = v1::IssueTokenRequest { principal: "tuner".into(), ..Default::default() };
    let issued = access.issue_token(asked).await?;
    let listed = access.list_principals().await?;
    ensure!(listed.len() == 1 && listed[0].subjects == tuner.subjects, "{listed:?}");
    ensure!(listed[0].tokens.len() == 1 && listed[0].tokens[0].id == issued.id, "{listed:?}");
    let policy = v1::Policy {
        name: "tuners".into(),
        principals: texts(["tuner"]),
        actions: texts(["twin:write"]),
        on: texts(["default/pump-*"]),
        sections: texts(["desired"]),
        ..Default::default()
    };
    access.put_policy(policy.clone()).await?;
    ensure!(access.list_policies().await? == std::slice::from_ref(&policy));

    let service = as_whom(&node, &issued.token)?;
    ensure!(service.who_am_i().await?.principal == "tuner");
    let twins = service.twins();
    twins.patch("pump-1", Section::Desired, &json!({"interval_s": 10})).await?;
    let error = twins.get("pump-1").await.expect_err("no policy allows it");
    let forbidden = |action: &str, on: &str| Rejection::Forbidden {
        action: action.to_owned(),
        on: on.to_owned(),
    };
    let expected = forbidden("twin:read", "default/pump-1");
    ensure!(error.rejection() == Some(&expected), "{error:?}");
    let error = service.access().audit().await.expect_err("nor that");
    ensure!(error.rejection() == Some(&forbidden("access:read", "the cluster")), "{error:?}");

    let check = async |action: &str| {
        let (principal, on) = ("tuner".to_owned(), "default/pump-1".to_owned());
        let section = if action == "twin:write" { "desired" } else { "" }.to_owned();
        let action = action.to_owned();
        let asked = v1::CheckRequest { principal, action, on, section, ..Default::default() };
        access.check(asked).await
    };
    let may = check("twin:write").await?;
    ensure!(may.allowed && may.why == "allowed by policy tuners", "{may:?}");
    let may_not = check("twin:read").await?;
    ensure!(!may_not.allowed && may_not.why.contains("no policy allows it"), "{may_not:?}");

    access.revoke_token(&issued.id).await?;
    let error = service.who_am_i().await.expect_err("its token is worth nothing");
    ensure!(error.reason() == Some("unauthenticated"), "{error:?}");
    access.remove_policy("tuners").await?;
    access.remove_principal("tuner").await?;
    ensure!(access.list_principals().await?.is_empty() && access.list_policies().await?.is_empty());
    for gone in [
        access.remove_policy("tuners").await,
        access.remove_principal("tuner").await,
        access.revoke_token(&issued.id).await,
    ] {
        let error = gone.expect_err("it is gone");
        ensure!(error.rejection() == Some(&Rejection::NotFound), "{error:?}");
    }
    written_down(&operator).await
}

/// What was done is in the audit, whole and page by page.
async fn written_down(operator: &Client) -> Result<()> {
    let all = operator.access().audit().await?;
    let whats: Vec<_> = all.iter().rev().map(|entry| entry.what.as_str()).collect();
    let expected = [
        "principal put",
        "principal put",
        "token issue",
        "policy put",
        "token revoke",
        "policy remove",
        "principal remove",
    ];
    ensure!(whats == expected, "{whats:?}");
    ensure!(all.iter().all(|entry| entry.who == "root" && entry.result == "done"), "{all:?}");
    let page = v1::AuditRequest { limit: 2, ..Default::default() };
    let page = operator.access().audit_page(page).await?;
    ensure!(page == all[..2], "{page:?}");
    let page = v1::AuditRequest { limit: 2, before: page[1].number };
    let page = operator.access().audit_page(page).await?;
    ensure!(page == all[2..4], "{page:?}");
    Ok(())
}
