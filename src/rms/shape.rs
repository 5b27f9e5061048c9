//! The shapes of the messages ([MS-RMPR] 2 and 6, [MS-RMSI] 6, [MS-RMPRS] 6), out of which the WSDL is written.
//! Nothing is checked against them: real clients put elements in another order.

use super::location::SERVICE_TYPES;

/// An element of a sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) count: Count,
    pub(super) kind: Kind,
}

/// How often an element may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    One,
    Optional,
    Many,
    /// Many, and each may be nil.
    ManyOrNil,
}

/// What is in an element.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    Boolean,
    Number,
    /// One of these words.
    Word(&'static Words),
    Sequence(&'static Sequence),
    /// Text and one element of any name.
    Any,
}

/// A named list of words.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) name: &'static str,
    pub(super) words: &'static [&'static str],
}

/// A named list of elements.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

pub(super) const CERTIFY: &[Field] = &[optional("requestParams", Kind::Sequence(&CERTIFY_PARAMS))];
pub(super) const CERTIFY_RESULT: Kind = Kind::Sequence(&Sequence {
    name: "CertifyResponse",
    fields: &[CERTIFICATE_CHAIN, optional("Quota", Kind::Sequence(&QUOTA))],
});

pub(super) const GET_CLIENT_LICENSOR_CERT: &[Field] = &[optional(
    "RequestParams",
    Kind::Sequence(&Sequence {
        name: "ArrayOfGetClientLicensorCertParams",
        fields: &[many(
            "GetClientLicensorCertParams",
            Kind::Sequence(&Sequence {
                name: "GetClientLicensorCertParams",
                fields: &[optional("PersonaCerts", CERTIFICATES)],
            }),
        )],
    }),
)];
pub(super) const GET_CLIENT_LICENSOR_CERT_RESULT: Kind = Kind::Sequence(&Sequence {
    name: "ArrayOfGetClientLicensorCertResponse",
    fields: &[many(
        "GetClientLicensorCertResponse",
        Kind::Sequence(&Sequence { name: "GetClientLicensorCertResponse", fields: &[CERTIFICATE_CHAIN] }),
    )],
});

pub(super) const ACQUIRE_ISSUANCE_LICENSE: &[Field] = &[optional(
    "RequestParams",
    Kind::Sequence(&Sequence {
        name: "ArrayOfAcquireIssuanceLicenseParams",
        fields: &[many(
            "AcquireIssuanceLicenseParams",
            Kind::Sequence(&Sequence {
                name: "AcquireIssuanceLicenseParams",
                fields: &[optional("UnsignedIssuanceLicense", Kind::Any)],
            }),
        )],
    }),
)];
pub(super) const ACQUIRE_ISSUANCE_LICENSE_RESULT: Kind = Kind::Sequence(&Sequence {
    name: "ArrayOfAcquireIssuanceLicenseResponse",
    fields: &[many(
        "AcquireIssuanceLicenseResponse",
        Kind::Sequence(&Sequence { name: "AcquireIssuanceLicenseResponse", fields: &[CERTIFICATE_CHAIN] }),
    )],
});

pub(super) const ACQUIRE_LICENSE: &[Field] = &[optional(
    "RequestParams",
    Kind::Sequence(&Sequence {
        name: "ArrayOfAcquireLicenseParams",
        fields: &[many(
            "AcquireLicenseParams",
            Kind::Sequence(&Sequence {
                name: "AcquireLicenseParams",
                fields: &[
                    optional("LicenseeCerts", CERTIFICATES),
                    optional("IssuanceLicense", CERTIFICATES),
                    optional("ApplicationData", Kind::Any),
                ],
            }),
        )],
    }),
)];
pub(super) const ACQUIRE_LICENSE_RESULT: Kind = Kind::Sequence(&Sequence {
    name: "ArrayOfAcquireLicenseResponse",
    fields: &[many(
        "AcquireLicenseResponse",
        Kind::Sequence(&Sequence {
            name: "AcquireLicenseResponse",
            fields: &[CERTIFICATE_CHAIN, optional("ReferenceCertificates", CERTIFICATES)],
        }),
    )],
});

pub(super) const ACQUIRE_PRE_LICENSE: &[Field] = &[optional(
    "RequestParams",
    Kind::Sequence(&Sequence {
        name: "ArrayOfAcquirePreLicenseParams",
        fields: &[many(
            "AcquirePreLicenseParams",
            Kind::Sequence(&Sequence {
                name: "AcquirePreLicenseParams",
                fields: &[
                    optional("LicenseeIdentities", TEXTS),
                    optional("IssuanceLicense", CERTIFICATES),
                    optional("ApplicationData", Kind::Any),
                ],
            }),
        )],
    }),
)];
pub(super) const ACQUIRE_PRE_LICENSE_RESULT: Kind = Kind::Sequence(&Sequence {
    name: "ArrayOfAcquirePreLicenseResponse",
    fields: &[many(
        "AcquirePreLicenseResponse",
        Kind::Sequence(&Sequence {
            name: "AcquirePreLicenseResponse",
            fields: &[
                optional("Licenses", CERTIFICATES),
                CERTIFICATE_CHAIN,
                optional("ReferenceCertificates", CERTIFICATES),
            ],
        }),
    )],
});

pub(super) const ACQUIRE_TEMPLATE_INFORMATION_RESULT: Kind = Kind::Sequence(&Sequence {
    name: "TemplateInformation",
    fields: &[
        optional("ServerPublicKey", Kind::Text),
        one("GuidHashCount", Kind::Number),
        many("GuidHash", Kind::Sequence(&Sequence { name: "GuidHash", fields: &[GUID, HASH] })),
    ],
});

pub(super) const ACQUIRE_TEMPLATES: &[Field] = &[optional("guids", TEXTS)];
pub(super) const ACQUIRE_TEMPLATES_RESULT: Kind = Kind::Sequence(&Sequence {
    name: "ArrayOfGuidTemplate",
    fields: &[many(
        "GuidTemplate",
        Kind::Sequence(&Sequence {
            name: "GuidTemplate",
            // The template is the text of a document.
            fields: &[GUID, HASH, optional("Template", Kind::Text)],
        }),
    )],
});

pub(super) const GET_SERVER_INFO: &[Field] = &[optional(
    "requests",
    Kind::Sequence(&Sequence {
        name: "ArrayOfServerInfoRequest",
        fields: &[many(
            "ServerInfoRequest",
            Kind::Sequence(&Sequence {
                name: "ServerInfoRequest",
                fields: &[one("Type", Kind::Word(&SERVER_INFO_TYPE)), optional("AdditionalInfo", Kind::Text)],
            }),
        )],
    }),
)];

pub(super) const GET_LICENSOR_CERTIFICATE_RESULT: Kind =
    Kind::Sequence(&Sequence { name: "LicensorCertChain", fields: &[CERTIFICATE_CHAIN] });

pub(super) const FIND_SERVICE_LOCATIONS: &[Field] = &[optional(
    "ServiceNames",
    Kind::Sequence(&Sequence {
        name: "ArrayOfServiceLocationRequest",
        fields: &[many(
            "ServiceLocationRequest",
            Kind::Sequence(&Sequence { name: "ServiceLocationRequest", fields: &[SERVICE_TYPE_FIELD] }),
        )],
    }),
)];
pub(super) const FIND_SERVICE_LOCATIONS_RESULT: Kind = Kind::Sequence(&Sequence {
    name: "ArrayOfServiceLocationResponse",
    fields: &[many(
        "ServiceLocationResponse",
        Kind::Sequence(&Sequence {
            name: "ServiceLocationResponse",
            fields: &[optional("URL", Kind::Text), SERVICE_TYPE_FIELD],
        }),
    )],
});

const CERTIFY_PARAMS: Sequence = Sequence {
    name: "CertifyParams",
    fields: &[optional("MachineCertificateChain", CERTIFICATES), one("Persistent", Kind::Boolean)],
};
const QUOTA: Sequence = Sequence {
    name: "QuotaResponse",
    fields: &[
        one("Verified", Kind::Boolean),
        one("CurrentConsumption", Kind::Number),
        one("Maximum", Kind::Number),
    ],
};
/// A certificate is XrML in no namespace, with text around it.
const CERTIFICATES: Kind = Kind::Sequence(&Sequence {
    name: "ArrayOfXmlNode",
    fields: &[Field { name: "Certificate", count: Count::ManyOrNil, kind: Kind::Any }],
});
const TEXTS: Kind = Kind::Sequence(&Sequence {
    name: "ArrayOfString",
    fields: &[Field { name: "string", count: Count::ManyOrNil, kind: Kind::Text }],
});
const CERTIFICATE_CHAIN: Field = optional("CertificateChain", CERTIFICATES);
const GUID: Field = optional("Guid", Kind::Text);
const HASH: Field = optional("Hash", Kind::Text);
const SERVICE_TYPE_FIELD: Field = one("Type", Kind::Word(&SERVICE_TYPE));
const SERVICE_TYPE: Words = Words { name: "ServiceType", words: &SERVICE_TYPES };
const SERVER_INFO_TYPE: Words = Words {
    name: "ServerInfoType",
    words: &["VersionInfo", "ServerFeatureInfo", "ServerLicensorCertificate", "ServiceLocations"],
};

const fn one(name: &'static str, kind: Kind) -> Field {
    Field { name, count: Count::One, kind }
}

const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, count: Count::Optional, kind }
}

const fn many(name: &'static str, kind: Kind) -> Field {
    Field { name, count: Count::Many, kind }
}
