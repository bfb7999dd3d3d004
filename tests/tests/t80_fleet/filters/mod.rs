//! Policies with filters, through the real binary: by groups and by tags, at one node and at nodes that do not own what
//! is asked for; what is decided by the twin as it is when a call comes to it; and what is shown of many twins.

mod world;

use std::thread;

use anyhow::{Context, Result, ensure};
use pollux_tests::node::NodeOptions;
use pollux_tests::node::cluster::{Cluster, QUICK};
use serde_json::{Value, json};

use world::{Caller, ENFORCED, World, soon};

fn allow(to: &str, actions: &[&str], filter: &str) -> Value {
    json!({"principals": [to], "actions": actions, "on": ["acme/*"], "filter": filter})
}

const BERLIN: &str = "tags.site == \"berlin\"";

/// Devices of two sites; some are put in a group.
fn fleet(world: &World<'_>) -> Result<()> {
    world.must(0, "PUT", "/tenants/acme/groups/north", &json!({}))?;
    world.everywhere("a group", |node| {
        let path = "/tenants/acme/groups/north";
        Ok(world.admin.http(node, "GET", path, &Value::Null)?.status == 200)
    })?;
    for (n, site) in ["berlin", "paris"].iter().cycle().take(8).enumerate() {
        world.tags(&format!("pump-{n}"), &json!({"site": site, "n": n}))?;
    }
    let add = json!({"devices": ["pump-1", "pump-2"]});
    world.must(1, "POST", "/tenants/acme/groups/north/add", &add)
}

fn names(numbers: &[usize]) -> Result<Vec<String>, u16> {
    Ok(numbers.iter().map(|n| format!("pump-{n}")).collect())
}

/// One device of each kind, through every door of every node.
fn each_twin(world: &World<'_>, berlin: &Caller, north: &Caller) -> Result<()> {
    let patch = json!({"desired": {"speed": 1}});
    for node in &world.nodes {
        for (caller, device, may) in [
            (berlin, "pump-0", true),
            (berlin, "pump-1", false),
            (berlin, "pump-2", true),
            (berlin, "nobody", false),
            (north, "pump-1", true),
            (north, "pump-2", true),
            (north, "pump-3", false),
            (north, "nobody", false),
        ] {
            let expected = if may { 200 } else { 403 };
            for (method, body) in [("GET", &Value::Null), ("PATCH", &patch)] {
                let status = caller.twin(node, method, device, body)?;
                ensure!(status == expected, "{method} {device}: {status}");
            }
            // As a replica has it, which may be asked anywhere.
            let path = format!("/tenants/acme/twins/{device}?stale=true");
            soon("a stale read", || {
                let reply = caller.http(node, "GET", &path, &Value::Null)?;
                ensure!(reply.status != if may { 403 } else { 200 }, "{device}: {reply:?}");
                Ok(reply.status == expected)
            })?;
            let command = json!({"name": "restart"});
            let path = format!("/tenants/acme/twins/{device}/commands");
            let reply = caller.http(node, "POST", &path, &command)?;
            ensure!((reply.reason() == "forbidden") != may, "{device}: {reply:?}");
            let said = node.ask_as(&caller.0, &["twin", "get", &format!("acme/{device}")]);
            ensure!(said.is_ok() == may, "{device}: {said:?}");
        }
    }
    Ok(())
}

/// Lists, queries and watches are allowed or refused whole.
fn many_twins(world: &World<'_>, berlin: &Caller, north: &Caller) -> Result<()> {
    for node in &world.nodes {
        let list = berlin.http(node, "GET", "/tenants/acme/twins", &Value::Null)?;
        ensure!(list.status == 403, "{list:?}");
        ensure!(berlin.query(node, "")? == Err(403));
        ensure!(berlin.query(node, "tags.site == \"berlin\" || true")? == Err(403));
        ensure!(berlin.query(node, "tags.site == \"paris\"")? == Err(403));
        ensure!(berlin.query(node, BERLIN)? == names(&[0, 2, 4, 6]));
        // Whom it may not see is not even counted.
        let asked = json!({"filter": format!("{BERLIN} && tags.n == 1"), "count": true});
        let found = berlin.http(node, "POST", "/tenants/acme/query", &asked)?.json()?;
        ensure!(found["matched"] == 0 && found["scanned"] == 4, "{found}");
        let some = "tags.n > 1 && tags.site == \"berlin\" && desired.speed == 1";
        ensure!(berlin.query(node, some)? == names(&[2]), "{:?}", berlin.query(node, some)?);
        ensure!(north.query(node, "group(\"north\")")? == names(&[1, 2]));
        ensure!(north.query(node, "\"north\" in groups && tags.n == 1")? == names(&[1]));
        ensure!(north.query(node, BERLIN)? == Err(403));
        for (asked, expected) in [
            (json!({"filter": BERLIN}), 200),
            (json!({"filter": "tags.n > 1"}), 403),
            (json!({}), 403),
            (json!({"device": "pump-0"}), 403),
            (json!({"device": "pump-0", "filter": BERLIN}), 200),
        ] {
            let name = format!("s-{}", asked.to_string().len());
            let path = format!("/tenants/acme/subscriptions/{name}");
            let reply = berlin.http(node, "PUT", &path, &asked)?;
            ensure!(reply.status == expected, "{asked}: {reply:?}");
        }
        let refused = berlin.watch(node, "/watch")?;
        ensure!(refused.status == 403, "{}", refused.status);
    }
    Ok(())
}

#[test]
fn groups_and_tags_say_who_may_at_the_door_and_at_the_owner() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let variables = [QUICK, &[ENFORCED]].concat();
    let cluster = Cluster::form(dir.path(), 3, &variables)?;
    let world = World::of(cluster.nodes.iter().flatten().collect())?;
    let (berlin, north) = (world.principal("berlin")?, world.principal("north")?);
    fleet(&world)?;
    let actions = &["twin:*", "command:send"][..];
    world.policy("berlin", &allow("berlin", actions, BERLIN))?;
    world.policy("north", &allow("north", actions, "\"north\" in groups"))?;
    each_twin(&world, &berlin, &north)?;
    many_twins(&world, &berlin, &north)?;
    moved_about(&world, &berlin)?;
    denied(&world)?;
    watched(&world, &berlin)?;
    jobs(&world, &berlin)?;
    too_costly(&world)
}

/// A twin on which a policy's filter takes too many steps is shown by nobody: not by the twin, not by a replica, and in no
/// picture.
fn too_costly(world: &World<'_>) -> Result<()> {
    const SLOW: &str = "tags.items.all(a, tags.items.all(b, a + b >= 0))";
    const PICTURE: &str = "/watch?picture=true&filter=tags.items.all(a%2C%20tags.items.all(b%2C%20a%20%2B%20b%20%3E%3D%200))";
    let slow = world.principal("slow")?;
    world.policy("slow", &allow("slow", &["twin:*"], SLOW))?;
    world.tags("few", &json!({"items": [1, 2]}))?;
    world.tags("many", &json!({"items": vec![1; 300]}))?;
    for node in &world.nodes {
        for (device, expected) in [("few", 200), ("many", 403)] {
            ensure!(slow.twin(node, "GET", device, &Value::Null)? == expected, "{device}");
            let path = format!("/tenants/acme/twins/{device}?stale=true");
            soon("a replica has it", || {
                Ok(world.admin.http(node, "GET", &path, &Value::Null)?.status == 200)
            })?;
            let stale = slow.http(node, "GET", &path, &Value::Null)?;
            ensure!(stale.status == expected, "{device}: {stale:?}");
        }
        let told = slow.watch(node, PICTURE)?;
        ensure!(told.status == 200, "{}", told.status);
        let shown = told.next("twin")?;
        ensure!(shown["device"] == "few", "{shown}");
        told.next("picture_complete")?;
    }
    Ok(())
}

/// What a twin is when a call comes to it decides, whatever it was when its caller was let in.
fn moved_about(world: &World<'_>, berlin: &Caller) -> Result<()> {
    let node = world.nodes[2];
    let site = |site: &str| json!({"tags": {"site": site}});
    // Nobody pulls in what is elsewhere, and what was given away is gone.
    ensure!(berlin.twin(node, "PATCH", "pump-1", &site("berlin"))? == 403);
    ensure!(berlin.twin(node, "PATCH", "pump-6", &site("paris"))? == 200);
    ensure!(berlin.twin(node, "PATCH", "pump-6", &site("berlin"))? == 403);
    ensure!(berlin.twin(node, "GET", "pump-6", &Value::Null)? == 403);
    with_a_key(world, berlin)?;
    world.tags("pump-6", &json!({"site": "berlin"}))?;
    // A twin that is not there is what the call makes of it.
    ensure!(berlin.twin(node, "PATCH", "new-1", &json!({"desired": {"a": 1}}))? == 403);
    ensure!(berlin.twin(node, "PATCH", "new-1", &site("paris"))? == 403);
    ensure!(berlin.twin(node, "PATCH", "new-1", &site("berlin"))? == 200);
    ensure!(berlin.twin(node, "PATCH", "new-1", &json!({"desired": {"a": 1}}))? == 200);
    ensure!(berlin.twin(node, "DELETE", "new-1", &Value::Null)? < 300);
    ensure!(berlin.twin(node, "GET", "new-1", &Value::Null)? == 403, "there is none to be seen");
    while_it_changes(world, berlin)
}

/// A twin that was given away with a key shows nothing to whoever reads with the same key, and says of the write again only
/// what it said.
fn with_a_key(world: &World<'_>, berlin: &Caller) -> Result<()> {
    let path = "/tenants/acme/twins/pump-4";
    for node in &world.nodes {
        let key = format!("gives-{}", node.http);
        let give = json!({"tags": {"site": "paris"}});
        for _ in 0..2 {
            let given = berlin.keyed(node, &key, "PATCH", path, &give)?;
            ensure!(given.status == 200, "{given:?}");
        }
        for what in ["", "/commands/1"] {
            let read = format!("{path}{what}");
            let read = berlin.keyed(node, &key, "GET", &read, &Value::Null)?;
            ensure!(read.status == 403, "{read:?}");
        }
        let read = berlin.keyed(node, &key, "GET", "/tenants/acme/devices/pump-4", &Value::Null)?;
        ensure!(read.status != 200, "{read:?}");
        world.tags("pump-4", &json!({"site": "berlin"}))?;
    }
    Ok(())
}

/// The tags flip while somebody writes whom one of them lets in. All is told in the order of the log: each write that was
/// taken came while the tags said yes, and each that was refused is not there.
fn while_it_changes(world: &World<'_>, berlin: &Caller) -> Result<()> {
    const TURNS: u64 = 40;
    let path = "/tenants/acme/twins/flips";
    world.tags("flips", &json!({"site": "berlin", "turn": 0}))?;
    let told = world.admin.watch(world.nodes[0], "/twins/flips/watch?picture=true")?;
    told.next("twin")?;
    told.next("picture_complete")?;
    let taken = thread::scope(|scope| -> Result<u64> {
        let flips = scope.spawn(|| {
            (1..=TURNS).try_for_each(|turn| {
                let site = if turn % 2 == 0 { "berlin" } else { "paris" };
                world.tags("flips", &json!({"site": site, "turn": turn}))
            })
        });
        let (mut taken, mut tried) = (0, 0);
        while !flips.is_finished() {
            let write = json!({"tags": {"seen": tried}});
            let reply =
                berlin.http(world.nodes[tried % world.nodes.len()], "PATCH", path, &write)?;
            tried += 1;
            match reply.status {
                200 => taken += 1,
                403 => {}
                _ => anyhow::bail!("{reply:?}"),
            }
        }
        flips.join().map_err(|_| anyhow::anyhow!("the flips failed"))??;
        eprintln!("{taken} of {tried} writes were taken while the tags flipped");
        Ok(taken)
    })?;
    let (mut seen, mut turn, mut is_berlin) = (0, 0, true);
    while turn < TURNS || seen < taken {
        let changed = told.next("changed")?;
        let patch = &changed["patched"]["merge"];
        if !patch["seen"].is_null() {
            ensure!(is_berlin, "a write was taken that must not be: {changed}");
            seen += 1;
        }
        if let Some(next) = patch["turn"].as_u64() {
            (turn, is_berlin) = (next, patch["site"] != "paris");
        }
    }
    ensure!(seen == taken, "{seen} writes are there, and {taken} were taken");
    world.must(0, "DELETE", path, &Value::Null)
}

/// What a policy denies by a filter is denied, and what excludes it may be asked.
fn denied(world: &World<'_>) -> Result<()> {
    let most = world.principal("most")?;
    world.policy("most", &allow("most", &["twin:*"], ""))?;
    let mut deny = allow("most", &["twin:*"], BERLIN);
    deny["deny"] = json!(true);
    world.policy("most-not", &deny)?;
    for node in &world.nodes {
        ensure!(most.twin(node, "GET", "pump-0", &Value::Null)? == 403);
        ensure!(most.twin(node, "GET", "pump-1", &Value::Null)? == 200);
        ensure!(most.query(node, "tags.n > 0")? == Err(403));
        ensure!(most.query(node, "tags.site == \"paris\"")? == names(&[1, 3, 5, 7]));
        let not = "!(tags.site == \"berlin\") && tags.n > 4";
        ensure!(most.query(node, not)? == names(&[5, 7]));
        let list = most.http(node, "GET", "/tenants/acme/twins", &Value::Null)?;
        ensure!(list.status == 403, "{list:?}");
    }
    Ok(())
}

/// A watch shows nothing of a twin from the change on with which it leaves.
fn watched(world: &World<'_>, berlin: &Caller) -> Result<()> {
    for (turn, node) in world.nodes.iter().enumerate() {
        // What came before is at this node, too.
        world.tags("pump-4", &json!({"turn": turn}))?;
        soon("the last change", || {
            let path = "/tenants/acme/twins/pump-4?stale=true";
            let twin = berlin.http(node, "GET", path, &Value::Null)?;
            Ok(twin.status == 200 && twin.json()?["tags"]["turn"] == turn)
        })?;
        let one = berlin.watch(node, "/twins/pump-4/watch?picture=true")?;
        ensure!(one.status == 200, "{}", one.status);
        ensure!(one.next("twin")?["device"] == "pump-4");
        one.next("picture_complete")?;
        let filter = "/watch?filter=tags.site%20%3D%3D%20%22berlin%22";
        let many = berlin.watch(node, filter)?;
        ensure!(many.status == 200, "{}", many.status);
        world.tags("pump-4", &json!({"x": 1}))?;
        let changed = one.next("changed")?;
        ensure!(changed["patched"]["merge"]["x"] == 1, "{changed}");
        ensure!(changed["match"].is_null(), "it has no filter: {changed}");
        let changed = many.next("changed")?;
        ensure!(changed["patched"]["merge"]["x"] == 1 && changed["match"] == "stayed", "{changed}");
        world.tags("pump-4", &json!({"site": "paris", "x": null, "secret": 1}))?;
        let left = many.next("changed")?;
        ensure!(left["match"] == "left" && left["device"] == "pump-4", "{left}");
        ensure!(left["patched"].is_null() && !left.to_string().contains("secret"), "{left}");
        one.ends()?;
        ensure!(berlin.watch(node, "/twins/pump-4/watch")?.status == 403);
        ensure!(berlin.watch(node, "/twins/nobody/watch")?.status == 403);
        world.tags("pump-4", &json!({"site": "berlin", "secret": null}))?;
        let entered = many.next("changed")?;
        ensure!(entered["match"] == "entered", "{entered}");
        ensure!(entered["twin"]["tags"]["site"] == "berlin", "{entered}");
    }
    Ok(())
}

/// A job is made by whoever may do so with all whom it selects.
fn jobs(world: &World<'_>, berlin: &Caller) -> Result<()> {
    let node = world.nodes[0];
    world.policy("berlin-jobs", &allow("berlin", &["job:*"], BERLIN))?;
    let job = |name: &str, whose: &Value| {
        let mut body = whose.clone();
        body["tags"] = json!({"marked": name});
        berlin.http(node, "PUT", &format!("/tenants/acme/jobs/{name}"), &body)
    };
    for (name, whose) in [
        ("all", json!({"filter": "tags.n > 0"})),
        ("paris", json!({"filter": "tags.site == \"paris\""})),
        ("named", json!({"devices": ["pump-0"]})),
    ] {
        let reply = job(name, &whose)?;
        ensure!(reply.status == 403, "{name}: {reply:?}");
    }
    let made = job("some", &json!({"filter": format!("{BERLIN} && tags.n > 3")}))?;
    ensure!(made.status < 300, "{made:?}");
    soon("the job is over", || {
        let reply = berlin.http(node, "GET", "/tenants/acme/jobs/some", &Value::Null)?;
        ensure!(reply.status == 200, "{reply:?}");
        Ok(reply.json()?["state"] == "finished")
    })?;
    ensure!(berlin.query(node, &format!("{BERLIN} && tags.marked == \"some\""))? == names(&[4, 6]));
    Ok(())
}

#[test]
fn filters_are_put_shown_explained_and_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).with(ENFORCED.0, ENFORCED.1).start()?;
    let world = World::of(vec![&node])?;
    let admin = &world.admin;
    world.principal("svc")?;
    let put = |more: &[&str]| {
        let verb = ["access", "policy", "put", "p", "--to", "svc", "--action", "twin:*"];
        node.ask_as(&admin.0, &[&verb[..], &["--on", "acme/*"], more].concat())
    };
    put(&["--group", "north", "--filter", BERLIN])?;
    let listed = node.ask_as(&admin.0, &["access", "policy", "list"])?;
    let policies = listed["policies"].as_array().context("policies")?;
    let one = policies.iter().find(|one| one["name"] == "p").context("it")?;
    ensure!(one["filter"] == format!("\"north\" in groups && ({BERLIN})"), "{one}");
    put(&["--filter", BERLIN])?;
    let check = |verb: &[&str]| {
        let verb = [&["access", "policy", "check", "svc"], verb].concat();
        node.ask_as(&admin.0, &verb)
    };
    let why = || -> Result<String> {
        let asked = json!({"principal": "svc", "action": "twin:read", "on": "acme/a"});
        let told = admin.http(&node, "POST", "/access/check", &asked)?.json()?;
        ensure!(told["allowed"] == false, "{told}");
        Ok(told["why"].as_str().context("why")?.to_owned())
    };
    ensure!(why()? == "depends on the twin, by policy p, and there is no acme/a", "{}", why()?);
    ensure!(check(&["twin:read", "acme/a"]).is_err());
    world.tags("a", &json!({"site": "paris"}))?;
    ensure!(why()? == "no policy allows it on acme/a", "{}", why()?);
    world.tags("a", &json!({"site": "berlin"}))?;
    let allowed = json!({"allowed": true, "why": "allowed by policy p"});
    ensure!(check(&["twin:read", "acme/a"])? == allowed);
    ensure!(check(&["twin:query", "acme/*"]).is_err());
    ensure!(check(&["twin:query", "acme/*", "--filter", BERLIN])? == allowed);
    for (filter, says) in [
        ("tags.site ==", "line 1, column"),
        ("true && reported.hot", "column 9: `reported` is not for policies"),
        ("presence.connected", "they may ask for id, groups and tags"),
        ("group(\"north\")", "as \\\"north\\\" in groups"),
        ("tags.a && now > timestamp(\"2026-01-01T00:00:00Z\")", "column 11"),
        ("tags.site", ""),
        ("id", "a filter is true or false"),
    ] {
        let policy = allow("svc", &["twin:read"], filter);
        let reply = admin.http(&node, "PUT", "/access/policies/q", &policy)?;
        let expected = if says.is_empty() { 200 } else { 400 };
        ensure!(reply.status == expected && reply.body.contains(says), "{filter}: {reply:?}");
    }
    let long = format!("tags.a == \"{}\"", "x".repeat(1024));
    let reply =
        admin.http(&node, "PUT", "/access/policies/q", &allow("svc", &["twin:read"], &long))?;
    ensure!(reply.status == 409 && reply.body.contains("it takes 1 to 1024"), "{reply:?}");
    let mut of_cluster = allow("svc", &["*"], BERLIN);
    of_cluster["on"] = json!(["*"]);
    let reply = admin.http(&node, "PUT", "/access/policies/q", &of_cluster)?;
    ensure!(reply.status == 409 && reply.body.contains("about the cluster, too"), "{reply:?}");
    let audit = node.ask_as(&admin.0, &["access", "audit"])?.to_string();
    ensure!(audit.contains("\"what\":\"policy put\""), "{audit}");
    // Nobody takes a filter away without saying so.
    let refused = put(&[]).err().context("it has a filter")?.to_string();
    ensure!(refused.contains("remove it before it is put without"), "{refused}");
    node.ask_as(&admin.0, &["access", "policy", "remove", "p"])?;
    put(&[])?;
    ensure!(check(&["twin:query", "acme/*"])? == allowed);
    Ok(())
}
