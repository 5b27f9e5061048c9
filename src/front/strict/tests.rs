//! Requests as tables: what is refused, and where the next one begins, however the bytes are split.

use super::head::AUTHORIZATION_BYTES_MAX;
use super::*;
use std::time::Instant;

const GOOD: &str = "GET /a HTTP/1.1\r\nHost: rms\r\n\r\n";

/// Shows the bytes in pieces that end at these places, as a connection would, and gives what passed and what did not.
fn look(bytes: &[u8], ends: impl IntoIterator<Item = usize>) -> (usize, Option<Refused>) {
    let (passed, refused, _) = read(bytes, ends);
    (passed, refused)
}

/// And what was read.
fn read(bytes: &[u8], ends: impl IntoIterator<Item = usize>) -> (usize, Option<Refused>, Vec<u8>) {
    let (mut gate, mut passed, mut bytes) = (Gate::default(), 0, bytes.to_vec());
    let all = bytes.len();
    for end in ends.into_iter().chain([all]) {
        let looked = gate.look(&mut bytes[passed..end]);
        passed += looked.pass;
        if looked.refused.is_some() {
            return (passed, looked.refused, bytes);
        }
    }
    (passed, None, bytes)
}

/// However they are split, the same comes of them.
#[track_caller]
fn check(bytes: &[u8], expected: (usize, Option<Refused>)) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    assert_eq!(look(bytes, []), expected, "{shown:?}");
    assert_eq!(look(bytes, 1..bytes.len()), expected, "byte by byte: {shown:?}");
    if bytes.len() < 1_000 {
        for at in 1..bytes.len() {
            assert_eq!(look(bytes, [at]), expected, "split at {at}: {shown:?}");
        }
    }
}

#[track_caller]
fn check_passes(request: impl AsRef<[u8]>) {
    let request = request.as_ref();
    check(request, (request.len(), None));
    // Another one behind it begins where this one ends.
    let twice = [request, GOOD.as_bytes()].concat();
    check(&twice, (twice.len(), None));
    let bad = [request, b"GET /b HTTP/1.1\r\n\r\n"].concat();
    check(&bad, (request.len(), Some(Refused::Head(Kind::HostMissing))));
}

/// Refused as the first one, and behind a good one.
#[track_caller]
fn check_refused(request: impl AsRef<[u8]>, kind: Kind) {
    let request = request.as_ref();
    check(request, (0, Some(Refused::Head(kind))));
    let behind = [GOOD.as_bytes(), request].concat();
    check(&behind, (GOOD.len(), Some(Refused::Head(kind))));
}

fn with(headers: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: rms\r\n{headers}\r\n\r\n")
}

#[test]
fn what_servers_send_passes() {
    for request in [
        GOOD.to_owned(),
        with("Content-Length: 0"),
        format!("{}hello", with("Content-Length: 5")),
        format!("{}hello", with("content-length:5")),
        format!("{}5\r\nhello\r\n0\r\n\r\n", with("Transfer-Encoding: chunked")),
        format!("{}05\r\nhello\r\n1;a=\"b\"\r\nx\r\n000\r\n\r\n", with("TRANSFER-ENCODING: chunked")),
        format!(
            "{}A\r\n0123456789\r\na\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\nX-A: b\r\n\r\n",
            with("Transfer-Encoding: chunked")
        ),
        "GET /a?b=c%20d&e HTTP/1.0\r\nhost: rms.contoso.com:443\r\n\r\n".into(),
        "GET http://RMS/a HTTP/1.1\r\nHost: rms\r\n\r\n".into(),
        "GET https://rms?x HTTP/1.1\r\nHost: rms\r\n\r\n".into(),
        "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n".into(),
        with("Connection: Keep-Alive"),
        with("Connection: close, TE"),
        with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"),
        with("Expect: 100-continue\r\nContent-Length: 0"),
        with("SOAPAction: \"http://microsoft.com/DRM/LicensingService/AcquireLicense\""),
        with("User-Agent: M\u{fc}ller\tserver\r\nX-Empty:\r\nContent_Length: x"),
        with(&format!("Authorization: Negotiate {}", "A".repeat(64_000))),
        with(&(0..62).map(|at| format!("X-{at}: y")).collect::<Vec<_>>().join("\r\n")),
    ] {
        check_passes(request);
    }
}

#[test]
fn whatever_can_be_read_in_two_ways_is_refused() {
    for (headers, kind) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", Kind::LengthAndEncoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0", Kind::LengthAndEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Kind::Repeated),
        ("Transfer-Encoding: chunked\r\ntransfer-encoding: identity", Kind::Repeated),
        ("Transfer-Encoding: gzip, chunked", Kind::EncodingUnknown),
        ("Transfer-Encoding: chunked, chunked", Kind::EncodingUnknown),
        ("Transfer-Encoding: identity", Kind::EncodingUnknown),
        ("Transfer-Encoding:", Kind::EncodingUnknown),
        ("Transfer-Encoding: Chunked", Kind::EncodingUnknown),
        ("Transfer-Encoding: xchunked", Kind::EncodingUnknown),
        ("Transfer-Encoding: \"chunked\"", Kind::EncodingUnknown),
        ("Transfer-Encoding:\tchunked", Kind::EncodingUnknown),
        ("Transfer-Encoding:  chunked", Kind::EncodingUnknown),
        ("Transfer-Encoding: chunked ", Kind::EncodingUnknown),
        ("Transfer-Encoding: chunked;q=1", Kind::EncodingUnknown),
        ("Transfer-Encoding: \u{b}chunked", Kind::ControlCharacter),
        ("Transfer-Encoding : chunked", Kind::HeaderName),
        ("Transfer-Encoding\u{a0}: chunked", Kind::HeaderName),
        ("Host: rms", Kind::Repeated),
        ("host: other", Kind::Repeated),
        ("Content-Length: 5\r\nContent-Length: 5", Kind::Repeated),
        ("Content-Length: 5\r\nContent-Length: 6", Kind::Repeated),
        ("Content-Length: 5, 5", Kind::LengthMalformed),
        ("Content-Length: +5", Kind::LengthMalformed),
        ("Content-Length: -5", Kind::LengthMalformed),
        ("Content-Length: 5 5", Kind::LengthMalformed),
        ("Content-Length:  5", Kind::LengthMalformed),
        ("Content-Length: 5 ", Kind::LengthMalformed),
        ("Content-Length:", Kind::LengthMalformed),
        ("Content-Length: 0x5", Kind::LengthMalformed),
        ("Content-Length: 05", Kind::LengthMalformed),
        ("Content-Length: 5.0", Kind::LengthMalformed),
        ("Content-Length: 18446744073709551617", Kind::LengthMalformed),
        ("X-A: b\r\n c", Kind::FoldedLine),
        ("X-A: b\r\n\tTransfer-Encoding: chunked", Kind::FoldedLine),
        (" X-A: b", Kind::FoldedLine),
        ("X-A: b\0c", Kind::ControlCharacter),
        ("X-A: \u{7f}", Kind::ControlCharacter),
        ("X-A: \u{1b}[31m", Kind::ControlCharacter),
        ("X-A: b\rTransfer-Encoding: chunked", Kind::BareLineEnd),
        ("X-A: b\nTransfer-Encoding: chunked", Kind::BareLineEnd),
        ("X-A: b\r\r\nX-B: c", Kind::BareLineEnd),
        ("X-A : b", Kind::HeaderName),
        ("X A: b", Kind::HeaderName),
        (": b", Kind::HeaderName),
        ("X-A", Kind::HeaderName),
        ("X-A\u{fc}: b", Kind::HeaderName),
        ("(X): b", Kind::HeaderName),
        ("Connection: Authorization", Kind::ConnectionNames),
        ("Connection: close, X-Rmsc-Role", Kind::ConnectionNames),
        ("Connection: keep-alive,", Kind::ConnectionNames),
        ("Authorization: NTLM a\r\nauthorization: NTLM b", Kind::Repeated),
    ] {
        check_refused(with(headers), kind);
    }
}

#[test]
fn whatever_begins_in_another_way_is_refused() {
    let long = "x".repeat(9_000);
    for (line, kind) in [
        ("GET /a", Kind::RequestLine),
        ("", Kind::RequestLine),
        ("GET /a HTTP/2.0", Kind::RequestLine),
        ("GET /a HTTP/0.9", Kind::RequestLine),
        ("GET /a HTTP/1.10", Kind::RequestLine),
        ("GET /a http/1.1", Kind::RequestLine),
        ("GET  /a HTTP/1.1", Kind::RequestLine),
        ("GET /a  HTTP/1.1", Kind::RequestLine),
        (" GET /a HTTP/1.1", Kind::RequestLine),
        ("GET /a HTTP/1.1 ", Kind::RequestLine),
        ("GET\t/a HTTP/1.1", Kind::RequestLine),
        ("GET a HTTP/1.1", Kind::RequestLine),
        ("GET rms:443 HTTP/1.1", Kind::RequestLine),
        ("GET * HTTP/1.1", Kind::RequestLine),
        ("GET ftp://rms/a HTTP/1.1", Kind::RequestLine),
        ("CONNECT rms:443 HTTP/1.1", Kind::RequestLine),
        ("CONNECT /a HTTP/1.1", Kind::RequestLine),
        ("G(T /a HTTP/1.1", Kind::RequestLine),
        (" /a HTTP/1.1", Kind::RequestLine),
        ("GET /a#b HTTP/1.1", Kind::RequestLine),
        ("GET /\u{fc} HTTP/1.1", Kind::RequestLine),
        ("GET /a\0b HTTP/1.1", Kind::ControlCharacter),
        ("GET /a HTTP/1.1\r", Kind::BareLineEnd),
        ("GET http://evil/a HTTP/1.1", Kind::HostMismatch),
        ("GET http://rms:80/a HTTP/1.1", Kind::HostMismatch),
        ("GET http://rms@evil/a HTTP/1.1", Kind::HostMismatch),
        ("GET http:///a HTTP/1.1", Kind::HostMismatch),
        (&format!("GET /{long} HTTP/1.1"), Kind::RequestLineTooLong),
    ] {
        check_refused(format!("{line}\r\nHost: rms\r\n\r\n"), kind);
    }
    check_refused("GET /a HTTP/1.1\r\nX-A: b\r\n\r\n", Kind::HostMissing);
    check_refused("GET /a HTTP/1.0\r\n\r\n", Kind::HostMissing);
    for host in ["", "a b", "a/b", "a,b", "user@rms", "rms?x", "r\u{fc}ms"] {
        check_refused(format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n"), Kind::HostMalformed);
    }
    let v1_0 = with("Transfer-Encoding: chunked").replace("HTTP/1.1", "HTTP/1.0");
    check_refused(v1_0, Kind::EncodingInVersion10);
    check_refused("GET /a HTTP/1.1\nHost: rms\n\n", Kind::BareLineEnd);
    check_refused("GET /a HTTP/1.1\r\nHost: rms\r\n\n", Kind::BareLineEnd);
    check_refused("GET /a HTTP/1.1\rHost: rms\r\r", Kind::BareLineEnd);
}

/// What never ends is refused too, and before it has come whole.
#[test]
fn what_is_too_long_or_too_much_is_refused_as_soon_as_it_is() {
    let token = format!("Authorization: Negotiate {}", "A".repeat(AUTHORIZATION_BYTES_MAX));
    for (headers, kind) in [
        (format!("X-A: {}", "b".repeat(5_000)), Kind::HeaderTooLong),
        (format!("X-A: {}", "b".repeat(64 << 10)), Kind::HeaderTooLong),
        (format!("X-A: {}\r\n", "b".repeat(4_000)).repeat(5), Kind::HeaderTooLong),
        (token, Kind::HeaderTooLong),
        ("X-A: b\r\n".repeat(66), Kind::HeadersTooMany),
    ] {
        let whole = with(&headers);
        check(whole.as_bytes(), (0, Some(Refused::Head(kind))));
        let unfinished = whole.trim_end().as_bytes();
        check(unfinished, (0, Some(Refused::Head(kind))));
    }
    check("x".repeat(9_000).as_bytes(), (0, Some(Refused::Head(Kind::RequestLineTooLong))));
    check(b"\x16\x03\x01\x02\x00\x01", (0, Some(Refused::Head(Kind::ControlCharacter))));
}

#[test]
fn broken_chunks_are_refused_where_they_break() {
    let head = with("Transfer-Encoding: chunked");
    let long_trailer = format!("0\r\nX-A: {}\r\n\r\n", "b".repeat(5_000));
    let long_extension = format!("1;{}\r\nx\r\n", "b".repeat(300));
    for (good, bad, kind) in [
        ("", "\r\n", Kind::ChunkMalformed),
        ("", "x\r\n", Kind::ChunkMalformed),
        ("", "+5\r\nhello\r\n", Kind::ChunkMalformed),
        ("", "-5\r\nhello\r\n", Kind::ChunkMalformed),
        ("", "0x5\r\nhello\r\n", Kind::ChunkMalformed),
        ("", " 5\r\nhello\r\n", Kind::ChunkMalformed),
        ("", "5 \r\nhello\r\n", Kind::ChunkMalformed),
        ("", "5\nhello\r\n", Kind::ChunkMalformed),
        ("", "5\rhello\r\n", Kind::ChunkMalformed),
        ("", "000000005\r\nhello\r\n", Kind::ChunkMalformed),
        ("", "FFFFFFFFFFFFFFFF1\r\n", Kind::ChunkMalformed),
        ("", "5;a\nhello\r\n", Kind::ChunkMalformed),
        ("", "5;\0\r\nhello\r\n", Kind::ChunkMalformed),
        ("", &long_extension, Kind::ChunkMalformed),
        ("5\r\nhello", "X\r\n0\r\n\r\n", Kind::ChunkMalformed),
        ("5\r\nhello", "\n0\r\n\r\n", Kind::ChunkMalformed),
        ("5\r\nhello\r", "0\r\n\r\n", Kind::ChunkMalformed),
        ("5\r\nhello\r\n", "\r\n", Kind::ChunkMalformed),
        ("0\r\n", "\n", Kind::BareLineEnd),
        ("0\r\n", "Content-Length: 5\r\n\r\n", Kind::TrailerMalformed),
        ("0\r\n", "Host: evil\r\n\r\n", Kind::TrailerMalformed),
        ("0\r\n", "X-A : b\r\n\r\n", Kind::TrailerMalformed),
        ("0\r\nX-A: b\r\n", " folded\r\n\r\n", Kind::TrailerMalformed),
        ("0\r\nX-A: b\r", "x\r\n", Kind::BareLineEnd),
        ("", &long_trailer, Kind::TrailerMalformed),
    ] {
        let bytes = format!("{head}{good}{bad}");
        let (passed, refused) = look(bytes.as_bytes(), []);
        assert_eq!(refused, Some(Refused::Body(kind)), "{good:?} {bad:?}");
        assert!(passed <= head.len() + good.len(), "{good:?} {bad:?}");
        // Of the same bytes more may have passed when they came in pieces, never of those that are wrong.
        for at in 1..bytes.len().min(400) {
            let (passed, split) = look(bytes.as_bytes(), [at]);
            assert_eq!(split, refused, "{bad:?} at {at}");
            assert!(passed < bytes.len(), "{bad:?} at {at}");
        }
    }
}

#[test]
fn nobody_hears_a_wish_for_another_protocol() {
    let wish = with("Upgrade: h2c\r\nX-Upgrade: a\r\nupgrade:websocket\r\nUpgraded: b\r\nContent-Length: 12");
    let whole = format!("{wish}Upgrade: h2c");
    let heard = whole.replacen("Upgrade: h2c", "xpgrade: h2c", 1).replace("upgrade:web", "xpgrade:web");
    for at in 1..whole.len() {
        let (passed, refused, read) = read(whole.as_bytes(), [at]);
        assert_eq!((passed, refused), (whole.len(), None), "split at {at}");
        assert_eq!(String::from_utf8_lossy(&read), heard, "split at {at}");
    }
}

#[test]
fn what_a_head_costs_is_told() {
    let mut head = with(&format!(
        "Content-Type: text/xml; charset=utf-8\r\nSOAPAction: \"http://microsoft.com/DRM/LicensingService/AcquireLicense\"\r\n\
         User-Agent: Mozilla/4.0 (compatible; MSIE 6.0; MS Web Services Client Protocol 4.0.30319.42000)\r\n\
         Authorization: Negotiate {}\r\nExpect: 100-continue\r\nConnection: Keep-Alive\r\nContent-Length: 1000000",
        "A".repeat(4_000)
    ))
    .into_bytes();
    let mut body = vec![b'x'; 1_000_000];
    let begun = Instant::now();
    const ROUNDS: u32 = 200;
    let mut gate = Gate::default();
    let mut heads = std::time::Duration::ZERO;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        assert_eq!(gate.look(&mut head).pass, head.len());
        heads += begun.elapsed();
        for piece in body.chunks_mut(8_192) {
            let bytes = piece.len();
            assert_eq!(gate.look(piece).pass, bytes);
        }
    }
    report(&format!(
        "a head of {} bytes: {:?}; with a body of 1 MB: {:?}",
        head.len(),
        heads / ROUNDS,
        begun.elapsed() / ROUNDS
    ));
}

fn report(line: &str) {
    println!("{line}");
}
