//! Whether the nodes have had equal shares. Pure.

use crate::proto::control::v1 as proto;
use std::collections::BTreeMap;

/// Judges what the fronts have handed out.
///
/// A front gives every node of its rotation the same number of requests; nodes that are out get none, and make no share
/// unequal. So each front is compared with an equal share of its own requests, and the sums over all fronts are judged.
pub(super) fn of(fronts: &[proto::Front]) -> proto::Equality {
    let mut shares: BTreeMap<u64, proto::Share> = BTreeMap::new();
    let (mut chi_square, mut freedom, mut cells, mut counted) = (0.0, 0, 0, 0);
    for front in fronts.iter().filter(|front| front.known) {
        let nodes: Vec<_> = front.nodes.iter().filter(|node| node.in_rotation).collect();
        let requests: u64 = nodes.iter().map(|node| node.turns).sum();
        if requests == 0 {
            continue;
        }
        let expected = as_float(requests) / as_float(nodes.len() as u64);
        for node in &nodes {
            let share = shares.entry(node.node_id).or_insert_with(|| proto::Share {
                node_id: node.node_id,
                name: node.name.clone(),
                ..Default::default()
            });
            share.requests += node.turns;
            share.expected += expected;
            chi_square += (as_float(node.turns) - expected).powi(2) / expected;
        }
        cells = cells.max(nodes.len() as u64);
        freedom += u32::try_from(nodes.len().saturating_sub(1)).unwrap_or(u32::MAX);
        counted += 1;
    }
    let requests: u64 = shares.values().map(|share| share.requests).sum();
    let requests_min = REQUESTS_A_SHARE_MIN * cells.max(1) * counted.max(1);
    let off = |share: &proto::Share| (as_float(share.requests) - share.expected).abs() / share.expected;
    let deviation_max = shares.values().map(off).fold(0.0, f64::max);
    let chi_square_max = chi_square_max(freedom);
    let verdict = if requests < requests_min {
        proto::Verdict::TooFew
    } else if deviation_max <= DEVIATION_MAX && chi_square <= chi_square_max {
        proto::Verdict::Equal
    } else {
        proto::Verdict::Unequal
    };
    proto::Equality {
        verdict: verdict.into(),
        requests,
        requests_min,
        shares: shares.into_values().collect(),
        deviation_max,
        chi_square,
        freedom,
        chi_square_max,
    }
}

/// Counts of requests are far below 2^52.
fn as_float(count: u64) -> f64 {
    count as f64
}

/// What Pearson's statistic reaches by chance once in a thousand times (Wilson and Hilferty 1931 beyond the table).
fn chi_square_max(freedom: u32) -> f64 {
    let index = usize::try_from(freedom).unwrap_or(usize::MAX);
    CHI_SQUARE_999.get(index).copied().unwrap_or_else(|| {
        let part = 2.0 / (9.0 * f64::from(freedom));
        f64::from(freedom) * (1.0 - part + NORMAL_999 * part.sqrt()).powi(3)
    })
}

/// The 99.9 % points for 0, 1, 2, … degrees of freedom.
const CHI_SQUARE_999: [f64; 11] =
    [0.0, 10.828, 13.816, 16.266, 18.467, 20.515, 22.458, 24.322, 26.124, 27.877, 29.588];
/// The 99.9 % point of the normal distribution.
const NORMAL_999: f64 = 3.090_232;
/// A share is equal within one in a hundred.
const DEVIATION_MAX: f64 = 0.01;
/// A front is never off by more than one request, and so many fronts by as many, which must be less than that.
const REQUESTS_A_SHARE_MIN: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn front(turns: &[Option<u64>]) -> proto::Front {
        let node = |(node_id, turns): (u64, &Option<u64>)| proto::SeenNode {
            node_id,
            in_rotation: turns.is_some(),
            turns: turns.unwrap_or(0),
            ..Default::default()
        };
        proto::Front { known: true, nodes: (1..).zip(turns).map(node).collect(), ..Default::default() }
    }

    fn check(fronts: &[&[u64]], expected: proto::Verdict) -> proto::Equality {
        let fronts: Vec<_> = fronts
            .iter()
            .map(|turns| front(&turns.iter().map(|turns| Some(*turns)).collect::<Vec<_>>()))
            .collect();
        let equality = of(&fronts);
        assert_eq!(equality.verdict(), expected, "{equality:?}");
        equality
    }

    #[test]
    fn tells_equal_shares_from_others() {
        use proto::Verdict::{Equal, TooFew, Unequal};
        check(&[], TooFew);
        check(&[&[0, 0, 0]], TooFew);
        check(&[&[34, 33, 33]], TooFew);
        check(&[&[3_334, 3_333, 3_333]], Equal);
        check(&[&[10_000]], Equal);
        check(&[&[3_434, 3_333, 3_233]], Unequal);
        // Each is within one in a hundred, and chance does not make so many of them.
        let many = check(&[&[1_008_000, 1_000_000, 992_000]], Unequal);
        assert!(many.deviation_max < 0.01 && many.chi_square > many.chi_square_max);
        check(&[&[401, 400, 400], &[400, 401, 400], &[400, 400, 401]], Equal);
        // What one front gives too much, another one cannot make good.
        check(&[&[2_000, 1_000], &[1_000, 2_000]], Unequal);
    }

    #[test]
    fn who_is_out_of_a_rotation_has_no_share_of_it() {
        let fronts = [front(&[Some(500), Some(500), None]), front(&[Some(400), Some(400), Some(400)])];
        let equality = of(&fronts);
        assert_eq!(equality.verdict(), proto::Verdict::Equal);
        let of_nodes: Vec<_> = equality.shares.iter().map(|share| (share.requests, share.expected)).collect();
        assert_eq!(of_nodes, [(900, 900.0), (900, 900.0), (400, 400.0)]);
        assert_eq!(equality.freedom, 3);
        let unknown = proto::Front { known: false, ..front(&[Some(1_000), Some(1)]) };
        assert_eq!(of(&[unknown]).requests, 0);
    }

    #[test]
    fn the_points_are_those_of_the_distribution() {
        assert!((chi_square_max(10) - 29.588).abs() < 0.001);
        // Of tables: 31.264, 59.703, 149.449.
        for (freedom, expected) in [(11, 31.264), (30, 59.703), (100, 149.449)] {
            assert!((chi_square_max(freedom) / expected - 1.0).abs() < 0.01, "{freedom}");
        }
    }
}
