//! What docs/formats.md says of versions is what the program writes and reads.

use std::path::Path;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The cells of a table's rows that begin with these words.
fn rows(text: &str, columns: usize) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_matches('|');
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let rows = text.lines().filter(|line| line.starts_with('|')).map(cells);
    rows.filter(|cells| cells.len() == columns && !cells[0].starts_with("--")).collect()
}

/// The number of a constant whose name ends like one of these.
fn constant(source: &str, names: &[&str]) -> Option<u64> {
    source.lines().find_map(|line| {
        let (head, value) = line.split_once('=')?;
        let name = head.split(':').next()?.split_whitespace().last()?;
        let number = value.trim().trim_end_matches(';');
        names.contains(&name).then(|| number.parse().ok()).flatten()
    })
}

#[test]
fn every_version_is_written_down_as_it_is() {
    let mut seen = 0;
    for row in rows(&read("docs/formats.md"), 5) {
        let [format, _, written, reads, stands_in] = &row[..] else { continue };
        let Ok(written) = written.parse::<u64>() else { continue };
        let source = read(stands_in.trim_matches('`'));
        let oldest = reads.split(',').next().and_then(|oldest| oldest.trim().parse().ok());
        if stands_in.contains("proto/src/device") {
            let name = if stands_in.contains("enrolment") { "pollux-enrol" } else { "pollux" };
            let alpn = format!("b\"{name}/{written}\"");
            assert!(source.contains(&alpn), "{format}: the program does not speak {alpn}");
        } else {
            let found = constant(&source, &["VERSION", "FORMAT", "WIRE_VERSION"]);
            assert_eq!(found, Some(written), "{format}: what {stands_in} writes");
            let before =
                constant(&source, &["VERSION_FIRST", "VERSION_BEFORE", "WIRE_VERSION_MIN"]);
            assert_eq!(oldest, before.or(found), "{format}: the oldest that {stands_in} reads");
        }
        seen += 1;
    }
    assert_eq!(seen, 11, "docs/formats.md names all formats");
}

#[test]
fn every_level_is_written_down() {
    let newest =
        rows(&read("docs/formats.md"), 3).into_iter().filter_map(|row| row[0].parse().ok());
    let source = read("cluster/src/meta/node.rs");
    let ours = source.lines().find(|line| line.contains("const OURS"));
    let ours = ours.and_then(|line| line.split("newest:").nth(1)?.split_whitespace().next());
    let ours: Option<u32> = ours.and_then(|level| level.parse().ok());
    assert!(ours.is_some(), "a program says its levels");
    assert_eq!(newest.max(), ours, "docs/formats.md, levels");
}
