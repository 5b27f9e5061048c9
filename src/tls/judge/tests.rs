//! Chains made here, each with one thing wrong.

use super::*;
use crate::secret::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::Duration as Span;

const NAME: &str = "rms.contoso.test";

fn now() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Span::days(20_000)
}

/// An authority, one below it, and what that issues.
struct Hierarchy {
    root: Vec<u8>,
    middle: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    (params.not_before, params.not_after) = (now() - Span::days(100), now() + Span::days(3_000));
    params
}

impl Hierarchy {
    fn new() -> Self {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root_params = authority("Root");
        let root = root_params.self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(root_params, root_key);
        let params = authority("Middle");
        let middle = params.signed_by(&key, &root_issuer).unwrap();
        Hierarchy {
            root: root.der().to_vec(),
            middle: middle.der().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A leaf as it should be but for a change, and its key.
    fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, Secret<Vec<u8>>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![NAME.into()]).unwrap();
        (params.not_before, params.not_after) = (now() - Span::days(1), now() + Span::days(90));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (leaf.der().to_vec(), Secret::new(key.serialize_der()))
    }

    fn faults(&self, change: impl FnOnce(&mut CertificateParams)) -> Vec<CertificateFault> {
        let (leaf, key) = self.leaf(change);
        // In no order: exports have none.
        let chain = vec![self.root.clone(), leaf, self.middle.clone()];
        let chain = FrontCertificate::of_parts(chain, key).unwrap();
        assert_eq!(chain.certificates().len(), 3);
        assert_eq!(chain.served().len(), 2, "the root is not sent");
        chain.faults(NAME, &Trusted::nobody(), now())
    }
}

#[track_caller]
fn check(faults: &[CertificateFault], words: &str) {
    let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(said.len() == 1 && said[0].contains(words), "{said:?} is not {words}");
}

#[test]
fn a_good_one_has_no_fault_and_a_bad_one_says_which() {
    let hierarchy = Hierarchy::new();
    assert_eq!(hierarchy.faults(|_| {}), []);
    check(&hierarchy.faults(|it| it.not_after = now() - Span::hours(1)), "it has expired on");
    // Its authority has a newer certificate.
    let old = |it: &mut CertificateParams| {
        (it.not_before, it.not_after) = (now() - Span::days(300), now() - Span::days(200));
    };
    check(&hierarchy.faults(old), "it has expired on");
    check(&hierarchy.faults(|it| it.not_before = now() + Span::hours(1)), "it is not valid before");
    check(&hierarchy.faults(|it| it.key_usages = vec![KeyUsagePurpose::KeyEncipherment]), "digitalSignature");
    let client =
        |it: &mut CertificateParams| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let faults = hierarchy.faults(client);
    assert!(faults.contains(&CertificateFault::NotForServers), "{faults:?}");
    check(&hierarchy.faults(|it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), "of an authority");
}

/// Forced, such a one was taken whenever its beginning was still to come.
#[test]
fn one_that_ends_before_it_begins_is_never_valid_and_nobody_knows_better() {
    let hierarchy = Hierarchy::new();
    let day = Span::days(1);
    for (from, until) in [(day * 9, day), (day, -day), (-day, -day * 9)] {
        let faults = hierarchy.faults(|it| (it.not_before, it.not_after) = (now() + from, now() + until));
        check(&faults, "before it begins on");
        assert!(!faults[0].may_be_meant(), "{faults:?}");
    }
    assert_eq!(hierarchy.faults(|it| (it.not_before, it.not_after) = (now(), now())), []);
}

#[test]
fn a_chain_ends_with_somebody_who_is_trusted_or_with_its_root() {
    let hierarchy = Hierarchy::new();
    let (leaf, key) = hierarchy.leaf(|_| {});
    let faults = |certificates: &[&Vec<u8>], trusted: &Trusted| {
        let certificates = certificates.iter().map(|it| (*it).clone()).collect();
        FrontCertificate::of_parts(certificates, key.clone()).unwrap().faults(NAME, trusted, now())
    };
    let nobody = Trusted::nobody();
    check(&faults(&[&leaf], &nobody), "the certificate of CN=Middle is missing");
    check(&faults(&[&leaf, &hierarchy.middle], &nobody), "the certificate of CN=Root is missing");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(hierarchy.root.clone())).unwrap();
    assert_eq!(faults(&[&leaf, &hierarchy.middle], &Trusted(roots)), []);
    // Of the same names, and by other hands.
    let forged = Hierarchy::new();
    check(&faults(&[&leaf, &forged.middle, &forged.root], &nobody), "clients that check the chain refuse it");
}

#[test]
fn the_name_is_the_services_and_a_star_is_one_label() {
    let hierarchy = Hierarchy::new();
    let with = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        hierarchy.faults(|it| it.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names)
    };
    assert_eq!(with(&["other.test", "RMS.contoso.test"]), []);
    assert_eq!(with(&["*.contoso.test"]), []);
    check(&with(&["other.test"]), "it is for other.test, and servers call rms.contoso.test");
    check(&with(&["*.test"]), "it is for *.test");
    for (name, wanted, is) in [
        ("*.contoso.test", "contoso.test", false),
        ("*.contoso.test", "a.b.contoso.test", false),
        ("*.test", "a.test", false),
        ("rm*.contoso.test", "rms.contoso.test", false),
        ("10.0.0.1", "10.0.0.1", true),
        ("*.0.0.1", "10.0.0.1", false),
        ("rms.contoso.test", "rms.contoso.test.", true),
    ] {
        assert_eq!(is_for(name, wanted), is, "{name} for {wanted}");
    }
}

/// [RFC 6125] 6.4.4.
#[test]
fn the_common_name_counts_only_where_there_is_no_other() {
    let hierarchy = Hierarchy::new();
    let common = |it: &mut CertificateParams| it.distinguished_name.push(DnType::CommonName, NAME);
    assert_eq!(
        hierarchy.faults(|it| {
            common(it);
            it.subject_alt_names.clear();
        }),
        []
    );
    let other = hierarchy.faults(|it| {
        common(it);
        it.subject_alt_names = CertificateParams::new(vec!["other.test".into()]).unwrap().subject_alt_names;
    });
    check(&other, "it is for other.test");
}

#[test]
fn a_key_is_that_of_the_certificate() {
    let hierarchy = Hierarchy::new();
    let ((leaf, _), (_, other)) = (hierarchy.leaf(|_| {}), hierarchy.leaf(|_| {}));
    let parts = FrontCertificate::of_parts(vec![leaf], other);
    assert_eq!(parts.unwrap_err(), crate::tls::PartsError::OtherKey);
}
