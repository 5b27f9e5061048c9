//! Settings that should be the same in the files of all nodes. Pure.

use super::survey::{Picture, Seat};
use crate::cluster::Facts;
use std::collections::BTreeMap;

/// The nodes whose file says something else than those of most, in sentences.
pub(super) fn differing(picture: &Picture) -> Vec<String> {
    let service_name: fn(&Facts) -> &str = |facts| &facts.service_name;
    let upstream: fn(&Facts) -> &str = |facts| &facts.upstream;
    let settings = [("service_name of [cluster]", service_name), ("[upstream]", upstream)];
    settings.into_iter().flat_map(|(setting, value)| of_setting(&picture.seats, setting, value)).collect()
}

fn of_setting(seats: &[Seat], setting: &str, value: fn(&Facts) -> &str) -> Vec<String> {
    let mut names: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for seat in seats {
        let said = seat.status.as_ref().map(|status| value(&status.facts).to_lowercase());
        // A witness has none, and a node of an earlier build does not say.
        if let Some(said) = said.filter(|said| !said.is_empty()) {
            names.entry(said).or_default().push(seat.name());
        }
    }
    let Some((most, of_most)) = names.iter().max_by_key(|(_, names)| names.len()) else { return Vec::new() };
    let others = names.iter().filter(|(said, _)| *said != most);
    let words = |(said, names): (&String, &Vec<&str>)| {
        format!(
            "{setting} in the file of {} is {said}, and in that of {} it is {most}: make the node files alike, and \
             restart the node whose file was wrong",
            names.join(", "),
            of_most.join(", ")
        )
    };
    others.map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::certificates::tests::{picture, seat};

    fn with(name: &str, service_name: &str, upstream: &str) -> Seat {
        let mut seat = seat(name, None);
        let status = seat.status.as_mut().unwrap();
        (status.facts.service_name, status.facts.upstream) = (service_name.into(), upstream.into());
        seat
    }

    #[test]
    fn the_node_that_is_unlike_most_is_named() {
        let others = [with("a", "rms.test", "cloud"), with("b", "RMS.test", "cloud")];
        let differing = |last: Seat| differing(&picture(false, [others.to_vec(), vec![last]].concat()));
        assert_eq!(differing(with("c", "rms.test", "cloud")), Vec::<String>::new());
        // An earlier build, or a witness.
        assert_eq!(differing(with("c", "", "")), Vec::<String>::new());
        let words = differing(with("c", "rms.example", "cloud"));
        assert_eq!(words.len(), 1, "{words:?}");
        let expected =
            "service_name of [cluster] in the file of c is rms.example, and in that of a, b it is rms.test";
        assert!(words[0].starts_with(expected), "{words:?}");
        assert!(differing(with("c", "rms.test", "lab"))[0].starts_with("[upstream] in the file of c is lab"));
    }
}
