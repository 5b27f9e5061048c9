//! Tests of the table: the shortcuts change nothing.

use super::*;
use crate::principal::AccountName;

fn sid(rid: u32) -> Sid {
    Sid::new(5, &[21, 1, 2, 3, rid]).unwrap()
}

fn entry(rid: u32, kind: Kind, by: &str) -> Entry {
    Entry {
        sid: sid(rid),
        name: format!("LAB\\{rid}").into(),
        kind,
        role: Role::Exchange,
        note: "".into(),
        added_by: by.into(),
        added_at: Timestamp(0),
    }
}

#[test]
fn every_group_is_found_while_groups_come_and_go() {
    let mut table = Table::default();
    for rid in 0..30_000 {
        let kind = if rid % 2 == 0 { Kind::Group } else { Kind::Computer };
        table.entries.add(entry(rid, kind, "admin"));
        if rid % 5 == 0 {
            table.entries.remove(&sid(rid / 5));
        }
    }
    for rid in 0..30_000 {
        let known = table.entries.get(&sid(rid)).filter(|entry| entry.kind == Kind::Group);
        assert_eq!(table.entries.group(&sid(rid)), known, "{rid}");
    }
    let name = AccountName::new("LAB", "exch01$").unwrap();
    let account = Account { sid: sid(1), name, groups: (0..30_000).map(sid).collect() };
    let groups = table.entries.values().filter(|entry| entry.kind == Kind::Group).count();
    assert_eq!(table.matching(&account).len(), groups);
}

#[test]
fn an_entry_that_becomes_a_group_is_one() {
    let mut table = Table::default();
    table.entries.add(entry(1, Kind::Computer, "admin"));
    assert!(table.entries.group(&sid(1)).is_none());
    table.entries.add(entry(1, Kind::Group, "admin"));
    assert!(table.entries.group(&sid(1)).is_some());
}

#[test]
fn how_it_came_about_makes_no_difference() {
    let (mut one, mut other) = (Table::default(), Table::default());
    (0..2_000).for_each(|rid| one.entries.add(entry(rid, Kind::Group, "a")));
    (0..4_000).rev().for_each(|rid| other.entries.add(entry(rid, Kind::Group, "a")));
    assert_ne!(one, other);
    (2_000..4_000).for_each(|rid| drop(other.entries.remove(&sid(rid))));
    assert_eq!(one, other);
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}

#[test]
fn an_administrator_is_named_once() {
    let mut table = Table::default();
    (0..100).for_each(|rid| table.entries.add(entry(rid, Kind::Computer, ["one", "two"][rid as usize % 2])));
    let by = |rid| table.entries.get(&sid(rid)).unwrap().added_by.clone();
    assert!(Arc::ptr_eq(&by(0), &by(98)) && Arc::ptr_eq(&by(1), &by(99)));
    assert_eq!((&*by(98), &*by(99)), ("one", "two"));
}
