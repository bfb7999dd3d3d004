//! Who may do what, through the real binary: by gRPC, by HTTP and by the command line, at one node and at those
//! of a cluster that do not own what is asked for; and all the ways not to be believed.

mod deeds;
mod matrix;
mod node;

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_runtime::clock::Clock;
use pollux_tests::node::cluster::{Cluster, QUICK};
use pollux_tests::node::keys::{self, Keys};
use pollux_tests::node::{NodeOptions, NodeProcess};
use serde_json::{Value, json};

use deeds::{Caller, DEEDS, Deed, Outcome};
use matrix::{MAY, policies};

const ENFORCED: (&str, &str) = ("POLLUX_ACCESS__MODE", "enforced");

/// How long a change may take to be in force on all nodes: it takes a few heartbeats, and tests share few cores.
const IN_FORCE: Duration = Duration::from_secs(30);

/// Waits until something is so at every node, and prints how long that took.
fn soon(
    what: &str,
    nodes: &[&NodeProcess],
    so: impl Fn(&NodeProcess) -> Result<bool>,
) -> Result<()> {
    let began = Clock::new();
    for node in nodes {
        while !so(node)? {
            ensure!(began.elapsed() < IN_FORCE, "{what}: not in force");
            thread::sleep(Duration::from_millis(10));
        }
    }
    eprintln!("{what}: in force at all nodes after {} ms", began.elapsed().as_millis());
    Ok(())
}

/// The first operator, as people make it.
fn bootstrap(node: &NodeProcess) -> Result<String> {
    let data = node.data().display().to_string();
    let made = node.ask_as("", &["access", "bootstrap", "--data-dir", &data])?;
    Ok(made["token"].as_str().context("a token")?.to_owned())
}

/// All principals, by HTTP, with a token each; and all policies.
fn people(node: &NodeProcess, admin: &str) -> Result<Vec<(&'static str, String)>> {
    let admin = Caller::new(admin);
    let mut tokens = Vec::new();
    for (name, _) in MAY {
        let path = format!("/v1/access/principals/{name}");
        let put = admin.http(node, "PUT", &path, "{\"note\":\"of a test\"}")?;
        ensure!(put.status == 200, "{put:?}");
        let made = admin.http(node, "POST", &format!("{path}/tokens"), "{}")?;
        ensure!(made.status == 200, "{made:?}");
        tokens.push((*name, made.json()?["token"].as_str().context("a token")?.to_owned()));
    }
    for (name, policy) in policies() {
        let path = format!("/v1/access/policies/{name}");
        let put = admin.http(node, "PUT", &path, &policy.to_string())?;
        ensure!(put.status == 200, "{put:?}");
    }
    Ok(tokens)
}

/// Every principal tries every deed through every door.
fn try_all(node: &NodeProcess, tokens: &[(&str, String)], device: &str) -> Result<()> {
    for (name, token) in tokens {
        let caller = Caller::new(token);
        let may = MAY.iter().find(|(known, _)| known == name).context("it is known")?.1;
        for deed in DEEDS {
            let expected =
                if may.contains(&deed.name()) { Outcome::Allowed } else { Outcome::Forbidden };
            for (door, outcome) in caller.everywhere(node, deed, device)? {
                ensure!(outcome == expected, "{name} {} by {door}: {outcome:?}", deed.name());
            }
        }
    }
    Ok(())
}

#[test]
fn one_node_lets_each_do_what_its_policies_say() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).with(ENFORCED.0, ENFORCED.1).start()?;
    for deed in DEEDS {
        for (door, outcome) in Caller::nobody().everywhere(&node, deed, "pump-1")? {
            ensure!(outcome == Outcome::Unauthenticated, "{} by {door}: {outcome:?}", deed.name());
        }
    }
    for path in ["/", "/healthz", "/readyz", "/openapi.json"] {
        ensure!(node.send("GET", path, &[], b"")?.status == 200, "{path} is for anyone");
    }
    let bare = node.send("GET", "/v1/twins/pump-1", &[], b"")?;
    ensure!(bare.head.to_lowercase().contains("www-authenticate: bearer"), "{bare:?}");
    let admin = bootstrap(&node)?;
    let who = node.ask_as(&admin, &["access", "whoami"])?;
    ensure!(who["principal"] == "admin" && who["enforced"] == true, "{who}");
    ensure!(who["via"].as_str().is_some_and(|via| via.starts_with("token ")), "{who}");
    let tokens = people(&node, &admin)?;
    try_all(&node, &tokens, "pump-1")?;
    explained(&node, &admin, &tokens)?;
    credentials(&node, &admin)?;
    bad_input(&node, &admin)?;
    written_down(&node, &admin)?;
    lockout(&node, &admin)
}

/// What was missing is named, and what would be decided is told with its reason. Names are the principals'.
fn explained(node: &NodeProcess, admin: &str, tokens: &[(&str, String)]) -> Result<()> {
    let token =
        |name: &str| tokens.iter().find(|(known, _)| *known == name).map(|(_, token)| token);
    let writer = Caller::new(token("writer").context("a writer")?);
    let path = "/v1/tenants/acme/twins/named";
    let body = "{\"desired\":{\"x\":1}}";
    let headers = [("pollux-caller", "somebody-else"), ("content-type", "application/json")];
    let wrote = writer.send(node, "PATCH", path, &headers, body)?;
    ensure!(wrote.status == 200, "{wrote:?}");
    let twin = node.ask_as(admin, &["twin", "get", "acme/named"])?;
    ensure!(twin.to_string().contains("\"by\":\"writer\""), "the principal's name: {twin}");
    let refused = writer.http(node, "DELETE", path, "")?.json()?;
    ensure!(refused["action"] == "twin:delete" && refused["on"] == "acme/named", "{refused}");
    let check =
        |verb: &[&str]| node.ask_as(admin, &[&["access", "policy", "check"], verb].concat());
    let allowed = check(&["part", "twin:write", "acme/x", "--section", "desired.a.b"])?;
    ensure!(allowed == json!({"allowed": true, "why": "allowed by policy part"}), "{allowed}");
    for (verb, why) in [
        (
            &["part", "twin:write", "acme/x", "--section", "desired"][..],
            "no policy allows it on acme/x desired",
        ),
        (
            &["careless", "twin:write", "acme/x", "--section", "desired.b"],
            "denied by policy careless-not",
        ),
        (&["reader", "cluster:admin"], "no policy allows it on the cluster"),
        (&["stranger", "twin:read", "acme/x"], "there is no such principal"),
    ] {
        let answer = check(verb);
        let answer = answer.err().map(|error| error.to_string()).unwrap_or_default();
        ensure!(answer.contains("it would be refused"), "{verb:?}: {answer}");
        let asked = json!({"principal": verb[0], "action": verb[1], "on": verb.get(2).unwrap_or(&""),
            "section": verb.get(4).unwrap_or(&"")});
        let answer =
            Caller::new(admin).http(node, "POST", "/v1/access/check", &asked.to_string())?;
        let answer = answer.json()?;
        ensure!(answer == json!({"allowed": false, "why": why}), "{answer}");
    }
    Ok(())
}

/// Tokens that are wrong, expired, revoked or replaced; several at once.
fn credentials(node: &NodeProcess, admin: &str) -> Result<()> {
    let read = Deed::Read;
    let made = |verb: &[&str]| -> Result<(String, String)> {
        let verb = [&["access", "principal", "token", "reader"][..], verb].concat();
        let made = node.ask_as(admin, &verb)?;
        let text = |name: &str| made[name].as_str().map(str::to_owned).context("a text");
        Ok((text("token")?, text("id")?))
    };
    let outcome = |token: &str| Caller::new(token).by_http(node, read, "pump-1");
    let (first, first_id) = made(&["--note", "old place"])?;
    let (second, _) = made(&[])?;
    ensure!(outcome(&first)? == Outcome::Allowed && outcome(&second)? == Outcome::Allowed);
    node.ask_as(admin, &["access", "principal", "token", "--revoke", &first_id])?;
    ensure!(outcome(&first)? == Outcome::Unauthenticated, "revoked");
    ensure!(outcome(&second)? == Outcome::Allowed, "the other stays");
    let (short, _) = made(&["--good-for", "1s"])?;
    ensure!(outcome(&short)? == Outcome::Allowed);
    thread::sleep(Duration::from_millis(1_200));
    let said = Caller::new(&short).http(node, "GET", "/v1/access/whoami", "")?;
    ensure!(said.status == 401 && said.body.contains("has expired"), "{said:?}");
    // One digit of the secret, or of what finds it, is another one.
    let swapped = |at: usize| {
        let mut bytes = second.clone().into_bytes();
        bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
        String::from_utf8(bytes)
    };
    let wrong = [swapped("pollux-token.".len())?, swapped(second.len() - 5)?];
    let unknown = wrong.iter().map(String::as_str);
    let mut answers = Vec::new();
    for token in unknown.chain([first.as_str(), "pollux-root.AAAA", "nonsense", "a.b.c"]) {
        let said = Caller::new(token).http(node, "GET", "/v1/access/whoami", "")?;
        ensure!(said.status == 401, "{token}: {said:?}");
        answers.push(said.body);
    }
    ensure!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "all are told the same: {answers:?}"
    );
    for value in ["Basic abc", "Bearer", "Bearer a b", "token"] {
        let said = node.send("GET", "/v1/access/whoami", &[("authorization", value)], b"")?;
        ensure!(said.status == 401 && said.body.contains("takes `Bearer`"), "{value}: {said:?}");
    }
    // What the cluster keeps, and what lists show, is no secret.
    let listed = node.ask_as(admin, &["access", "principal", "list"])?.to_string();
    let (id, secret) = (&second["pollux-token.".len()..29], &second[30..]);
    ensure!(listed.contains(id) && !listed.contains(secret), "{listed}");
    ensure!(!listed.contains(&first_id), "revoked ones are gone");
    Ok(())
}

fn bad_input(node: &NodeProcess, admin: &str) -> Result<()> {
    let admin = Caller::new(admin);
    let refused = |method: &str, path: &str, body: &str, status: u16, says: &str| -> Result<()> {
        let reply = admin.http(node, method, path, body)?;
        ensure!(
            reply.status == status && reply.body.contains(says),
            "{method} {path} {body}: {reply:?}"
        );
        Ok(())
    };
    let policy = "/v1/access/policies/p";
    refused("PUT", policy, "{}", 409, "no principals")?;
    refused(
        "PUT",
        policy,
        "{\"principals\":[\"x\"],\"actions\":[\"*\"],\"on\":[\"*\"]}",
        409,
        "add it first",
    )?;
    let fly = "{\"principals\":[\"*\"],\"actions\":[\"twin:fly\"],\"on\":[\"*\"]}";
    refused("PUT", policy, fly, 409, "there are twin:read")?;
    let on = "{\"principals\":[\"*\"],\"actions\":[\"*\"],\"on\":[\"acme\"]}";
    refused("PUT", policy, on, 400, "tenant/prefix*")?;
    refused("PUT", policy, "{\"wat\":1}", 400, "there is no wat")?;
    refused("PUT", "/v1/access/principals/root", "{}", 409, "meaning of its own")?;
    refused("DELETE", "/v1/access/principals/x", "", 404, "no principal")?;
    refused("DELETE", policy, "", 404, "no policy")?;
    refused("DELETE", "/v1/access/tokens/1234", "", 404, "no token")?;
    refused("DELETE", "/v1/access/tokens/xyz", "", 400, "hexadecimal")?;
    refused("POST", "/v1/access/principals/x/tokens", "{}", 404, "no principal")?;
    refused(
        "POST",
        "/v1/access/principals/all/tokens",
        "{\"good_for_ms\":1}",
        400,
        "it takes 1000",
    )?;
    refused("POST", "/v1/access/check", "{\"action\":\"twin:fly\"}", 400, "there are twin:read")
}

/// Changes of access and of the cluster are in the audit, with who made them and how they ended.
fn written_down(node: &NodeProcess, admin: &str) -> Result<()> {
    node.ask_as(admin, &["cluster", "pause"])?;
    let refused = node.ask_as(admin, &["node", "drain", "1"]);
    ensure!(refused.is_err(), "it is the last one");
    let audit = node.ask_as(admin, &["access", "audit", "--limit", "3"])?;
    let entries = audit["entries"].as_array().context("entries")?;
    ensure!(entries.len() == 3, "{audit}");
    let (drain, pause) = (&entries[0], &entries[1]);
    ensure!(drain["what"] == "node drain" && drain["on"] == "node 1", "{drain}");
    ensure!(
        drain["result"].as_str().is_some_and(|said| said.contains("last active node")),
        "{drain}"
    );
    ensure!(pause["what"] == "balancing pause" && pause["result"] == "done", "{pause}");
    ensure!(pause["who"] == "admin" && pause["from"] == "127.0.0.1", "{pause}");
    let before = pause["number"].to_string();
    let older =
        Caller::new(admin).http(node, "GET", &format!("/v1/access/audit?before={before}"), "")?;
    let older = older.json()?;
    let all = older["entries"].as_array().context("entries")?;
    let first = all.last().context("the first")?;
    ensure!(first["what"] == "principal put" && first["who"] == "root", "{first}");
    let numbers: Vec<_> = all.iter().filter_map(|entry| entry["number"].as_u64()).collect();
    ensure!(numbers.windows(2).all(|pair| pair[0] == pair[1] + 1), "without a gap: {numbers:?}");
    Ok(())
}

/// A policy gone wrong locks out everybody but those who have the node's disk; a restart changes nothing.
fn lockout(node: &NodeProcess, admin: &str) -> Result<()> {
    let verb =
        ["access", "policy", "put", "closed", "--deny", "--to", "*", "--action", "*", "--on", "*"];
    node.ask_as(admin, &verb)?;
    ensure!(node.ask_as(admin, &["access", "policy", "list"]).is_err(), "locked out");
    node.ask(&["access", "policy", "remove", "closed"])?;
    let listed = node.ask_as(admin, &["access", "policy", "list"])?;
    ensure!(listed["policies"].as_array().map(Vec::len) == Some(16), "{listed}");
    let again = bootstrap(node)?;
    ensure!(again != admin, "a further token");
    node.ask_as(&again, &["access", "audit"]).map(drop)
}

#[test]
fn signed_tokens_are_believed_only_where_all_is_right() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (keys, strangers) = (Keys::new("one")?, Keys::new("one")?);
    let file = dir.path().join("keys.json");
    std::fs::write(&file, json!({"keys": [keys.public()]}).to_string())?;
    let node = NodeOptions::new(&dir.path().join("node"))
        .with(ENFORCED.0, ENFORCED.1)
        .with("POLLUX_ACCESS__JWT_ISSUER", "https://id.example")
        .with("POLLUX_ACCESS__JWT_AUDIENCE", "pollux")
        .with("POLLUX_ACCESS__JWT_KEYS", &file.display().to_string())
        .start()?;
    let admin = bootstrap(&node)?;
    let good = keys::claims("248");
    let said = |token: &str| Caller::new(token).http(&node, "GET", "/v1/access/whoami", "");
    let unknown = said(&keys.signed(&good)?)?;
    ensure!(
        unknown.status == 401 && unknown.body.contains("no principal has the subject"),
        "{unknown:?}"
    );
    let add = ["access", "principal", "add", "person", "--subject", "https://id.example=248"];
    node.ask_as(&admin, &add)?;
    let who = said(&keys.signed(&good)?)?.json()?;
    ensure!(who["principal"] == "person" && who["via"] == "issuer https://id.example", "{who}");
    let by = |claims: &Value| keys.signed(claims);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let now = good["iat"].as_u64().context("a time")?;
    for (token, why) in [
        (strangers.signed(&good)?, "not signed by a key"),
        (Keys::new("another")?.signed(&good)?, "not signed by a key"),
        (keys::unsigned(&good), "not signed by a key"),
        (keys.shared_secret(&good)?, "not signed by a key"),
        (by(&with("aud", json!("billing")))?, "for another audience"),
        (by(&with("iss", json!("https://evil.example")))?, "of another issuer"),
        (by(&with("exp", json!(now - 3_600)))?, "has expired"),
        (by(&with("nbf", json!(now + 3_600)))?, "not good yet"),
        (by(&with("sub", json!("249")))?, "no principal has the subject"),
    ] {
        let said = said(&token)?;
        ensure!(said.status == 401 && said.body.contains(why), "{why}: {said:?}");
        let by_cli = node.ask_as(&token, &["access", "whoami"]);
        ensure!(by_cli.is_err_and(|error| error.to_string().contains("unauthenticated")), "{why}");
    }
    // What it may is said by policies, as for others; keys that are replaced are worth nothing soon.
    let read = Caller::new(&keys.signed(&good)?).by_http(&node, Deed::Read, "pump-1")?;
    ensure!(read == Outcome::Forbidden, "{read:?}");
    let put = [
        "access",
        "policy",
        "put",
        "p",
        "--to",
        "person",
        "--action",
        "twin:read",
        "--on",
        "acme/*",
    ];
    node.ask_as(&admin, &put)?;
    let read = Caller::new(&keys.signed(&good)?).everywhere(&node, Deed::Read, "pump-1")?;
    ensure!(read.iter().all(|(_, outcome)| *outcome == Outcome::Allowed), "{read:?}");
    let next = Keys::new("two")?;
    std::fs::write(&file, json!({"keys": [next.public()]}).to_string())?;
    thread::sleep(Duration::from_millis(2_500));
    ensure!(said(&next.signed(&good)?)?.status == 200, "the new key");
    ensure!(said(&keys.signed(&good)?)?.status == 401, "the old key");
    Ok(())
}

#[test]
fn every_node_of_a_cluster_checks_and_a_change_is_soon_in_force() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let variables = [QUICK, &[ENFORCED]].concat();
    let mut cluster = Cluster::form(dir.path(), 3, &variables)?;
    let nodes: Vec<_> = cluster.nodes.iter().flatten().collect();
    let admin = bootstrap(nodes[1])?;
    let known = |token: &str, node: &NodeProcess| {
        Ok(Caller::new(token).http(node, "GET", "/v1/access/whoami", "")?.status == 200)
    };
    soon("the first token", &nodes, |node| known(&admin, node))?;
    let tokens = people(nodes[2], &admin)?;
    // The last thing that was put is known where all before it are.
    let put = |node: &NodeProcess| {
        let listed = Caller::new(&admin).http(node, "GET", "/v1/access/policies", "")?;
        Ok(listed.json()?["policies"].as_array().is_some_and(|all| all.len() == 16))
    };
    soon("all principals and policies", &nodes, put)?;
    // The shards of these are owned by several nodes, so that most of them are asked of a node that does not
    // own them.
    for (at, node) in nodes.iter().enumerate() {
        for device in ["pump-1", "pump-2", "pump-3", "pump-4"] {
            let own = format!("{device}-at-{at}");
            let written = Caller::new(&admin).by_http(node, Deed::WriteA, &own)?;
            ensure!(written == Outcome::Allowed, "{own}");
        }
        try_all(node, &tokens, &format!("pump-{at}"))?;
    }
    let reader = &tokens.iter().find(|(name, _)| *name == "reader").context("a reader")?.1;
    let watching = Caller::new(reader).watch(nodes[0])?;
    // Another node is asked for the change; all see it within a second.
    let put = [
        "access",
        "policy",
        "put",
        "reader-not",
        "--deny",
        "--to",
        "reader",
        "--action",
        "twin:*",
        "--on",
        "acme/*",
    ];
    let read = |node: &NodeProcess| Caller::new(reader).by_http(node, Deed::Read, "pump-1");
    nodes[1].ask_as(&admin, &put)?;
    soon("a denial", &nodes, |node| Ok(read(node)? == Outcome::Forbidden))?;
    ensure!(watching.ended_within(IN_FORCE), "a watch that is no longer allowed ends");
    nodes[2].ask_as(&admin, &["access", "policy", "remove", "reader-not"])?;
    soon("its removal", &nodes, |node| Ok(read(node)? == Outcome::Allowed))?;
    // The secret of one node is worth nothing at another.
    let root = std::fs::read_to_string(nodes[0].data().join("root.token"))?;
    ensure!(nodes[0].ask_as(root.trim(), &["access", "whoami"])?["principal"] == "root");
    ensure!(nodes[1].ask_as(root.trim(), &["access", "whoami"]).is_err());
    checked_by_the_owner(&mut cluster, &admin)
}

/// A node that checks nothing passes calls on: their owner checks.
fn checked_by_the_owner(cluster: &mut Cluster, admin: &str) -> Result<()> {
    let ids = [cluster.id(0)?, cluster.id(1)?];
    cluster.kill(2)?;
    let patience = Duration::from_secs(60);
    let began = Clock::new();
    // Its shards get another owner first.
    while Caller::new(admin).by_http(cluster.node(0)?, Deed::WriteA, "pump-1").is_err() {
        ensure!(began.elapsed() < patience, "the shard has an owner");
    }
    let others = [0, 1].map(|at| (ids[at], cluster.options[at].peers.clone()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        node::Careless::in_place_of(&cluster.options[2].data, &others)?.is_not_believed().await
    })
}

#[test]
fn a_node_that_hears_nothing_soon_lets_only_its_own_operator_in() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::form(dir.path(), 3, &[QUICK, &[ENFORCED]].concat())?;
    let (node, others) = (cluster.node(0)?, [cluster.node(1)?, cluster.node(2)?]);
    let admin = bootstrap(node)?;
    let who = |token: &str| Caller::new(token).http(node, "GET", "/v1/access/whoami", "");
    others.iter().try_for_each(|node| node.freeze())?;
    let began = Clock::new();
    let mut said = who(&admin)?;
    ensure!(said.status == 200, "for a while it goes on: {said:?}");
    while said.status == 200 {
        ensure!(began.elapsed() < Duration::from_secs(120), "a token may have been revoked");
        thread::sleep(Duration::from_millis(500));
        said = who(&admin)?;
    }
    ensure!(began.elapsed() > Duration::from_secs(45), "an election or a restart takes less");
    ensure!(said.status == 401 && said.body.contains("has not heard"), "{said:?}");
    let root = std::fs::read_to_string(node.data().join("root.token"))?;
    ensure!(who(root.trim())?.status == 200, "who has its disk comes in");
    others.iter().try_for_each(|node| node.go_on())?;
    let began = Clock::new();
    while who(&admin)?.status != 200 {
        ensure!(began.elapsed() < Duration::from_secs(60), "it hears the others again");
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}
