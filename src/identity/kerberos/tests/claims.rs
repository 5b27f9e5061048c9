//! What a signed PAC may say, and what of it counts: each check alone.

use super::super::logon_info::LogonInfo;
use super::built::{Info, Pac, TO_PAC, edited};
use super::forged::{Opened, replace, service_key};
use super::proof::{utf16, with_proof_data};
use super::*;
use crate::identity::der::element;
use std::collections::BTreeMap;

const OTHER_DOMAIN: &str = "S-1-5-21-4-5-6";
const COUNTS: u32 = 7;

fn realms(domains: &[(&str, &[&str])], local: Option<&str>) -> Realms {
    let list = |sids: &[&str]| sids.iter().map(|sid| sid.parse().unwrap()).collect();
    let domains: BTreeMap<String, Vec<Sid>> =
        domains.iter().map(|(realm, sids)| ((*realm).to_owned(), list(sids))).collect();
    Realms::new(&domains, local.map(|sid| sid.parse().unwrap()))
}

/// A token whose PAC says this of the account.
fn saying(info: &Info) -> Vec<u8> {
    with_pac(|pac| {
        *pac.buffer(1) = info.bytes();
        // It says the SID once more.
        pac.0.retain(|(kind, _)| *kind != 12);
    })
}

/// A token whose PAC is changed like this, and signed again.
fn with_pac(change: impl Fn(&mut Pac)) -> Vec<u8> {
    let mut opened = Opened::of("EXCH01-raw");
    let mut pac = opened.pac();
    change(&mut pac);
    opened.set_pac(&pac.signed(&service_key()).bytes());
    opened.closed()
}

pub(super) fn step(acceptor: Acceptor, token: &[u8]) -> Result<TicketProven, Outer> {
    let mut handshake = handshake(&Arc::new(acceptor), ChannelBindingPolicy::Allow);
    match handshake.step(Scheme::Negotiate, token, leg(MADE))? {
        Step::Ticket(proven) => Ok(*proven),
        step => panic!("{step:?}"),
    }
}

fn judge_in(realms: Realms, token: &[u8]) -> Result<TicketProven, Outer> {
    step(Acceptor::new(keytab()).with_realms(realms), token)
}

#[track_caller]
fn check_groups(realms: Realms, info: &Info, wanted: &[&str]) {
    let mut groups = judge_in(realms, &saying(info)).unwrap().account.groups;
    groups.sort_unstable();
    let mut wanted: Vec<Sid> = wanted.iter().map(|sid| sid.parse().unwrap()).collect();
    wanted.sort_unstable();
    assert_eq!(groups, wanted);
}

#[track_caller]
pub(super) fn check_refused(token: &[u8], wanted: impl Into<Refused>) {
    assert_eq!(judge(token).unwrap_err(), Outer::from(wanted.into()));
}

fn ours(rid: u32) -> String {
    format!("{DOMAIN}-{rid}")
}

fn malformed(what: &'static str) -> Refused {
    Refused::Pac(PacError::Malformed { what })
}

#[test]
fn a_pac_built_anew_is_taken() {
    assert_eq!(judge(&with_pac(|_| ())).unwrap().account, judge(&captured("EXCH01-raw")).unwrap().account);
    check_groups(Realms::default(), &Info::default(), &[&ours(515)]);
}

// ---- Which realm may say what. ----

#[test]
fn a_realm_speaks_for_the_accounts_of_its_own_domains_alone() {
    let foreign = |sid: String| Refused::ForeignDomain { sid, realm: "CONTOSO.TEST".into() }.into();
    let token = saying(&Info::default());
    let of_this = |domains: &[&str]| realms(&[("contoso.test", domains), ("B", &[DOMAIN])], None);
    assert!(judge_in(of_this(&[DOMAIN]), &token).is_ok());
    assert!(judge_in(of_this(&[OTHER_DOMAIN, DOMAIN]), &token).is_ok());
    assert_eq!(judge_in(of_this(&[OTHER_DOMAIN]), &token).unwrap_err(), foreign(ours(1108)));
    // Without a table it may speak for each domain but that of local accounts.
    assert!(judge_in(realms(&[], Some(OTHER_DOMAIN)), &token).is_ok());
    assert_eq!(judge_in(realms(&[], Some(DOMAIN)), &token).unwrap_err(), foreign(ours(1108)));
    let both = realms(&[("CONTOSO.TEST", &[DOMAIN])], Some(DOMAIN));
    assert_eq!(judge_in(both, &token).unwrap_err(), foreign(ours(1108)));
    // What no domain gives out is nobody's account.
    let builtin = Info { domain: "S-1-5-32", user: 544, ..Info::default() };
    assert_eq!(judge_in(Realms::default(), &saying(&builtin)).unwrap_err(), foreign("S-1-5-32-544".into()));
}

#[test]
fn groups_of_other_domains_are_left_out() {
    let extra =
        ["S-1-5-21-4-5-6-1110", "S-1-5-21-7-8-9-1110", "S-1-5-32-544", "S-1-5-21-0-0-0-497", "S-1-18-1"];
    let info = Info { extra: extra.map(|sid| (sid, COUNTS)).to_vec(), ..Info::default() };
    let listed = realms(&[("CONTOSO.TEST", &[DOMAIN, OTHER_DOMAIN])], None);
    check_groups(listed, &info, &[&ours(515), extra[0]]);
    check_groups(Realms::default(), &info, &[&ours(515), extra[0], extra[1]]);
    check_groups(realms(&[], Some(OTHER_DOMAIN)), &info, &[&ours(515), extra[1]]);
    let resource = vec![(1110, COUNTS)];
    let info = Info { resource_domain: OTHER_DOMAIN, resource, ..Info::default() };
    check_groups(realms(&[("CONTOSO.TEST", &[DOMAIN])], None), &info, &[&ours(515)]);
    check_groups(realms(&[], Some(OTHER_DOMAIN)), &info, &[&ours(515)]);
    check_groups(Realms::default(), &info, &[&ours(515), "S-1-5-21-4-5-6-1110"]);
}

/// The same key under another realm, as one of two forests that do not trust each other has one.
#[test]
fn a_realm_of_several_that_nothing_is_said_about_speaks_for_nobody() {
    use super::super::keytab::tests::{entry, file};
    let key = |realm| entry("HTTP/rms.contoso.test", realm, 2, 18, service_key().bytes());
    let two = || Keytab::parse(&file(&[key("CONTOSO.TEST"), key("FABRIKAM.TEST")])).unwrap();
    let one = || Keytab::parse(&file(&[key("CONTOSO.TEST"), key("contoso.test")])).unwrap();
    let unnamed = |realms: &str| Err(KeytabError::RealmsUnnamed { realms: realms.into() });
    let half = realms(&[("Fabrikam.test", &[OTHER_DOMAIN])], None);
    let whole = realms(&[("Fabrikam.test", &[OTHER_DOMAIN]), ("CONTOSO.TEST", &[DOMAIN])], None);
    assert_eq!(Realms::default().check(&one()), Ok(()));
    assert_eq!(Realms::default().check(&two()), unnamed("CONTOSO.TEST, FABRIKAM.TEST"));
    assert_eq!(half.check(&two()), unnamed("CONTOSO.TEST"));
    assert_eq!(half.check(&one()), unnamed("CONTOSO.TEST"));
    assert_eq!(whole.check(&two()), Ok(()));
    let token = captured("EXCH01-raw");
    let judge =
        |keytab, realms: &Realms| step(Acceptor::new(keytab).with_realms(realms.clone()), &token).map(|_| ());
    let refused = Refused::RealmUnnamed { realm: "CONTOSO.TEST".into() };
    assert_eq!(judge(one(), &Realms::default()), Ok(()));
    assert_eq!(judge(two(), &Realms::default()), Err(refused.clone().into()));
    assert_eq!(judge(two(), &half), Err(refused.into()));
    assert_eq!(judge(two(), &whole), Ok(()));
    // The realm is that of the key, whatever the ticket says in clear.
    let mut renamed = saying(&Info::default());
    replace(&mut renamed, b"\x1b\x0cCONTOSO.TEST", b"\x1b\x0cFABRIKA.TEST");
    let keys = file(&[key("CONTOSO.TEST"), key("FABRIKA.TEST")]);
    let both = realms(&[("FABRIKA.TEST", &[OTHER_DOMAIN]), ("CONTOSO.TEST", &[DOMAIN])], None);
    let acceptor = Acceptor::new(Keytab::parse(&keys).unwrap()).with_realms(both);
    assert!(matches!(
        step(acceptor, &renamed).unwrap_err(),
        Outer::Kerberos(Refused::ForeignDomain { realm, .. }) if realm == "FABRIKA.TEST"
    ));
}

// ---- In whose name. ----

#[test]
fn a_ticket_that_a_service_got_in_the_accounts_name_is_refused() {
    let account = String::from("CONTOSO\\EXCH01$");
    let delegated = with_pac(|pac| pac.0.push((11, vec![0; 8])));
    check_refused(&delegated, Refused::Delegated { account: account.clone() });
    // Whether its attributes and the flag let it count or not.
    for (attributes, flags) in [(COUNTS, 0x20), (0, 0x20), (0x10, 0x20), (COUNTS, 0)] {
        let info = Info { extra: vec![("S-1-18-2", attributes)], flags, ..Info::default() };
        check_refused(&saying(&info), Refused::OnBehalf { account: account.clone() });
    }
}

#[test]
fn nobody_is_let_in_as_guest_or_without_an_id_or_a_name() {
    check_refused(&saying(&Info { flags: 1, ..Info::default() }), Refused::Guest);
    check_refused(&saying(&Info { user: 0, ..Info::default() }), malformed("LOGON_INFO"));
    check_refused(&saying(&Info { name: "EX\"CH01$", ..Info::default() }), Refused::BadName);
}

/// What the proof says that the client means is under its key; the name in the ticket is under none.
#[test]
fn the_name_in_a_ticket_is_not_proven_and_the_one_that_the_client_means_is() {
    use super::super::keytab::tests::{entry, file};
    let key = |spn| entry(spn, "CONTOSO.TEST", 2, 18, service_key().bytes());
    let keys = file(&[key("HTTP/rms.contoso.test"), key("HTTP/rmz.contoso.test")]);
    let judge = |opened: &Opened| {
        let mut token = opened.closed();
        replace(&mut token, b"rms.contoso.test", b"rmz.contoso.test");
        let proven = step(Acceptor::new(Keytab::parse(&keys).unwrap()), &token).unwrap();
        assert_eq!(proven.service, "HTTP/rmz.contoso.test@CONTOSO.TEST");
        proven.target
    };
    assert_eq!(judge(&Opened::of("EXCH01-raw")), None);
    let meant = "HTTP/rms.contoso.test@CONTOSO.TEST";
    assert_eq!(judge(&with_proof_data(&[(144, utf16(meant))])).as_deref(), Some(meant));
}

// ---- The account and its groups. ----

#[test]
fn groups_count_by_their_attributes_and_by_the_flags() {
    let all = |attributes| Info {
        groups: vec![(515, COUNTS), (1110, attributes)],
        extra: vec![("S-1-5-21-4-5-6-1111", attributes)],
        resource: vec![(1112, attributes)],
        ..Info::default()
    };
    let every = [&*ours(515), &ours(1110), "S-1-5-21-4-5-6-1111", &ours(1112)];
    check_groups(Realms::default(), &all(COUNTS), &every);
    for attributes in [0x3, 0x17, 0] {
        check_groups(Realms::default(), &all(attributes), &[&ours(515)]);
    }
    let without = |flags| Info { flags, ..all(COUNTS) };
    check_groups(Realms::default(), &without(0x200), &[&ours(515), &ours(1110), &ours(1112)]);
    check_groups(Realms::default(), &without(0x20), &every[..3]);
    // The primary group counts as it does among the others, and by itself if it is not there.
    let info = Info { groups: vec![(515, 3), (1110, COUNTS)], ..Info::default() };
    check_groups(Realms::default(), &info, &[&ours(1110)]);
    check_groups(
        Realms::default(),
        &Info { groups: vec![(1110, COUNTS)], ..Info::default() },
        &[&ours(515), &ours(1110)],
    );
}

#[test]
fn counts_of_groups_must_be_the_same_twice() {
    assert!(LogonInfo::read(&Info::default().bytes()).is_some());
    for announced in [[1, 0, 0], [0, 1, 0], [0, 0, 1]] {
        assert!(LogonInfo::read(&Info { announced, ..Info::default() }.bytes()).is_none(), "{announced:?}");
    }
}

// ---- The PAC as such. ----

#[test]
fn a_ticket_has_one_pac() {
    let opened = |change: &dyn Fn(&[u8]) -> Vec<u8>| {
        let mut opened = Opened::of("EXCH01-raw");
        opened.ticket = edited(&opened.ticket, &TO_PAC[..7], change);
        opened.closed()
    };
    let twice = |list: &[u8]| edited(list, &[0x30], &|list| [list, list].concat());
    check_refused(&opened(&twice), malformed("two of them"));
    check_refused(&opened(&|_| element(0x30, &[])), PacError::Missing);
    let mut without = Opened::of("EXCH01-raw");
    without.ticket = edited(&without.ticket, &TO_PAC[..2], &|fields| {
        let data = edited(fields, &[0xaa], &|contents| contents.to_vec());
        let last = data.windows(2).position(|tag| tag == [0xaa, 0x82]).unwrap();
        data[..last].to_vec()
    });
    check_refused(&without.closed(), PacError::Missing);
}

#[test]
fn buffers_are_there_once() {
    for (kind, what) in [
        (1, "LOGON_INFO"),
        (10, "CLIENT_INFO"),
        (12, "UPN_DNS_INFO"),
        (6, "two signatures"),
        (7, "two signatures"),
    ] {
        let token = with_pac(|pac| {
            let again = pac.buffer(kind).clone();
            pac.0.push((kind, again));
        });
        check_refused(&token, malformed(what));
    }
    for (kind, what) in [(1, malformed("LOGON_INFO")), (10, malformed("CLIENT_INFO"))] {
        check_refused(&with_pac(|pac| pac.0.retain(|(found, _)| *found != kind)), what);
    }
}

/// The table of contents, which no signature has to hold for.
#[test]
fn buffers_lie_apart_behind_the_table() {
    let check = |change: &dyn Fn(&mut Vec<u8>), wanted: Refused| {
        let mut opened = Opened::of("EXCH01-raw");
        let mut pac = opened.pac().signed(&service_key()).bytes();
        change(&mut pac);
        opened.set_pac(&pac);
        check_refused(&opened.closed(), wanted);
    };
    let put = |at: usize, number: u32| {
        move |pac: &mut Vec<u8>| pac[at..at + 4].copy_from_slice(&number.to_le_bytes())
    };
    let wrong = || malformed("the table of contents");
    check(&put(4, 1), wrong()); // the version
    check(&put(20, 1), wrong()); // the high half of an offset
    check(&put(16, 8), wrong()); // inside the table
    check(&put(0, 65), wrong());
    let overlapping = |pac: &mut Vec<u8>| {
        // The second one begins where the first does, and is shorter.
        assert!(pac::number(pac, 28) < pac::number(pac, 12));
        let first = pac::number(pac, 16).unwrap();
        put(32, first)(pac);
    };
    check(&overlapping, wrong());
    let misaligned = |pac: &mut Vec<u8>| {
        let (length, at) = (pac::number(pac, 12).unwrap(), pac::number(pac, 16).unwrap());
        put(12, length - 4)(pac);
        put(16, at + 4)(pac);
    };
    check(&misaligned, wrong());
}

#[test]
fn signatures_are_of_the_keys_kind_and_both_there() {
    let not_signed = || Refused::Pac(PacError::NotSigned);
    let spoiled = |change: &dyn Fn(&mut Pac)| {
        let mut opened = Opened::of("EXCH01-raw");
        let mut pac = opened.pac().signed(&service_key());
        change(&mut pac);
        opened.set_pac(&pac.bytes());
        opened.closed()
    };
    assert!(judge(&spoiled(&|_| ())).is_ok());
    // That of the other AES, whose signature is as long, though all else of it holds.
    check_refused(&spoiled(&|pac| *pac = pac.signed_as(&service_key(), 15)), not_signed());
    check_refused(&spoiled(&|pac| pac.buffer(6).truncate(15)), not_signed());
    check_refused(&spoiled(&|pac| pac.0.retain(|(kind, _)| *kind != 6)), not_signed());
    check_refused(&spoiled(&|pac| pac.0.retain(|(kind, _)| *kind != 7)), not_signed());
    check_refused(&spoiled(&|pac| pac.buffer(7)[..4].copy_from_slice(&[9, 0, 0, 0])), not_signed());
    check_refused(&spoiled(&|pac| pac.buffer(7).truncate(15)), not_signed());
}

#[test]
fn an_account_has_one_sid() {
    let token = with_pac(|pac| {
        let upn = pac.buffer(12);
        let at = upn.windows(4).position(|bytes| bytes == 1108u32.to_le_bytes()).unwrap();
        upn[at] ^= 1;
    });
    check_refused(&token, malformed("two SIDs for one account"));
}

/// A service, and a client, with each kind of key.
#[test]
fn takes_every_kind_of_key() {
    use super::super::keytab::tests::{entry, file};
    for etype in [Etype::Aes128Sha1, Etype::Aes256Sha1, Etype::Aes128Sha2, Etype::Aes256Sha2] {
        let key = Key::new(etype, &vec![3; etype.key_bytes()]).unwrap();
        let mut opened = Opened::of("EXCH01-raw");
        opened.set_pac(&opened.pac().signed(&key).bytes());
        let number = etype.number();
        opened.ticket = edited(&opened.ticket, &[0x63, 0x30, 0xa1, 0x30, 0xa0, 2], &|_| vec![number]);
        opened.ticket =
            edited(&opened.ticket, &[0x63, 0x30, 0xa1, 0x30, 0xa1, 4], &|_| vec![5; etype.key_bytes()]);
        let keys = file(&[entry("HTTP/rms.contoso.test", "CONTOSO.TEST", 2, number.into(), key.bytes())]);
        let acceptor = || Acceptor::new(Keytab::parse(&keys).unwrap());
        let proven = step(acceptor(), &opened.closed_with(&key)).unwrap();
        assert_eq!(proven.account.sid, sid(1108), "{etype}");
        // The signature must be made with the key that opens the ticket.
        opened.set_pac(&opened.pac().signed(&service_key()).bytes());
        let refused = step(acceptor(), &opened.closed_with(&key)).unwrap_err();
        assert_eq!(refused, Refused::Pac(PacError::NotSigned).into(), "{etype}");
    }
}
