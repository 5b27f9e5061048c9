//! `/simulator/…`: what was recorded, and which faults are on.

use super::fault::{BadFault, Rule, check_without_tls};
use super::spoil::Body;
use super::web::{reply, text};
use super::{Config, Counts};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;

pub(super) async fn answer(request: Request<Incoming>, config: &Config) -> Response<Body> {
    let (head, body) = request.into_parts();
    let below = head.uri.path().trim_start_matches("/simulator/");
    match below.split_once('/').unwrap_or((below, "")) {
        ("faults", name) => faults(&head.method, name, body, config).await,
        _ => counted(&head.method, below, &config.counts),
    }
}

fn counted(method: &Method, below: &str, counts: &Counts) -> Response<Body> {
    match (method, below) {
        (&Method::GET, "requests") => json(&counts.snapshot()),
        (&Method::GET, "arrivals") => json(&counts.arrivals()),
        (&Method::GET, _) => match below.strip_prefix("requests/") {
            Some(id) => json(&counts.seen(id)),
            None => text(StatusCode::NOT_FOUND, "there is nothing at this path"),
        },
        (&Method::POST, "reset") => {
            counts.reset();
            text(StatusCode::OK, "reset")
        }
        _ => not_allowed(),
    }
}

/// PUT says which faults are on, POST switches more on, DELETE switches all of them off or one by its name.
async fn faults(method: &Method, name: &str, body: Incoming, config: &Config) -> Response<Body> {
    let faults = &config.faults;
    match (method, name) {
        (&Method::GET, "") => {}
        (&Method::PUT | &Method::POST, "") => {
            let read = Limited::new(body, BODY_BYTES_MAX).collect().await;
            let bytes = read.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let rules = rules(&String::from_utf8_lossy(&bytes)).and_then(|rules| match config.encryption {
                Some(_) => Ok(rules),
                None => check_without_tls(&rules).map(|()| rules).map_err(|bad| bad.to_string()),
            });
            match rules {
                Ok(rules) if *method == Method::PUT => faults.replace(rules),
                Ok(rules) => faults.add(rules),
                Err(error) => return text(StatusCode::BAD_REQUEST, &error),
            }
        }
        (&Method::DELETE, "") => faults.replace(Vec::new()),
        (&Method::DELETE, name) => {
            if faults.remove(name) == 0 {
                return text(StatusCode::NOT_FOUND, &format!("the fault {name:?} is not on"));
            }
        }
        (_, "") => return not_allowed(),
        _ => return text(StatusCode::NOT_FOUND, "there is nothing at this path"),
    }
    json(&serde_json::json!({ "faults": faults.shown() }))
}

/// A fault as JSON has it: a text, or its parts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Parts(Parts),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    fault: String,
    rate: Option<f64>,
    next: Option<u64>,
    operation: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum List {
    Alone(Vec<Written>),
    Named { faults: Vec<Written> },
}

/// Reads JSON, or a fault a line.
fn rules(body: &str) -> Result<Vec<Rule>, String> {
    let body = body.trim();
    let texts: Vec<String> = if body.starts_with(['[', '{']) {
        let list: List = serde_json::from_str(body).map_err(|error| {
            format!("{error}: write [\"503\", {{\"fault\": \"latency=1s\", \"rate\": 0.5}}]")
        })?;
        let (List::Alone(list) | List::Named { faults: list }) = list;
        list.into_iter().map(Written::text).collect()
    } else {
        body.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    if texts.len() > FAULTS_MAX {
        return Err(format!("at most {FAULTS_MAX} faults can be on"));
    }
    texts
        .iter()
        .map(|text| Rule::parse(text))
        .collect::<Result<_, _>>()
        .map_err(|bad: BadFault| bad.to_string())
}

impl Written {
    fn text(self) -> String {
        match self {
            Written::Text(text) => text,
            Written::Parts(Parts { fault, rate, next, operation }) => {
                let rate = rate.map(|rate| format!(",rate={rate}"));
                let next = next.map(|next| format!(",next={next}"));
                let operation = operation.map(|operation| format!(",operation={operation}"));
                let more = [rate, next, operation].into_iter().flatten();
                more.fold(fault, |text, part| text + &part)
            }
        }
    }
}

fn not_allowed() -> Response<Body> {
    text(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
}

fn json(value: &impl serde::Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(body) => reply(StatusCode::OK, "application/json", body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// A hundred faults, each with everything that can be said about it.
const BODY_BYTES_MAX: usize = 64 << 10;
/// More than there are kinds; each is looked at for every request.
const FAULTS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_text_and_json_alike() {
        let expected = rules("503=30,rate=0.5,next=2,operation=certify\n\nhtml\n").unwrap();
        assert_eq!(expected.len(), 2);
        let parts = r#"{"fault":"503=30","rate":0.5,"next":2,"operation":"certify"}"#;
        for text in [format!(r#"[{parts}, "html"]"#), format!(r#"{{"faults":[{parts}, "html"]}}"#)] {
            assert_eq!(rules(&text).unwrap(), expected, "{text}");
        }
        assert_eq!(rules("").unwrap(), Vec::new());
        assert!(rules("nothing").unwrap_err().contains("half-closed"));
        assert!(rules("[{\"fault\":\"html\",\"often\":1}]").is_err());
    }
}
