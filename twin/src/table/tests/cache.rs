//! The cache is bounded, and nobody can tell from outside which twins are in it.

use super::*;

#[test]
fn is_bounded_and_invisible() {
    let mut tables = [
        opened(Options::default()),
        opened(small()),
        opened(Options { hot_twins_max: 0, ..Options::default() }),
        opened(Options { hot_bytes_max: 60, ..Options::default() }),
    ];
    for round in 0..50 {
        let name = alloc::format!("device-{}", round * 7 % 11);
        for table in &mut tables {
            apply(table, &[(&name, set(round)), ("often", set(round))]);
            apply(table, &[(&name, set(round + 1))]);
        }
    }
    let hot: Vec<_> = tables.iter().map(Table::hot).collect();
    assert_eq!(hot[..3], [12, 2, 0]);
    assert!((1..6).contains(&hot[3]), "{hot:?}");
    // All are packed in this one, and its weight is that of its images.
    let images: usize = everything(&tables[2]).iter().map(|(_, image)| image.len()).sum();
    assert_eq!(tables[2].bytes(), images);
    assert!(tables.iter().all(|table| table.bytes() > 0));
    for table in &tables[1..] {
        assert_eq!(everything(table), everything(&tables[0]));
        assert_eq!(table.counts(), tables[0].counts());
    }
}
