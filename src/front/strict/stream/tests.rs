//! What passes the gate, how long it is waited for, and what a long head may take.

use super::*;
use crate::front::metrics::Metrics;
use crate::front::{Config, held};
use crate::upstream::Body;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prometheus_client::registry::Registry;
use std::convert::Infallible;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, timeout};

const GOOD: &[u8] = b"GET /a HTTP/1.1\r\nHost: rms\r\n\r\n";

fn admission() -> Arc<Admission> {
    let limits = Config {
        connections_max: 10,
        connections_per_source_max: 10,
        requests_max: 10,
        requests_per_source_max: 10,
        requests_per_account_max: 10,
        buffered_bytes_max: 1 << 20,
    };
    Admission::new(limits, Metrics::register(&mut Registry::default()), Arc::default())
}

fn pair() -> (Strict<DuplexStream>, DuplexStream, Arc<Conversation>) {
    pair_of(&admission(), 1 << 20)
}

/// With so much room on the way.
fn pair_of(
    admission: &Arc<Admission>,
    room: usize,
) -> (Strict<DuplexStream>, DuplexStream, Arc<Conversation>) {
    let (ours, theirs) = duplex(room);
    let conversation = Arc::new(Conversation::default());
    let long = Long::new(admission, [10, 0, 0, 1].into());
    (Strict::new(ours, conversation.clone(), long), theirs, conversation)
}

/// Answers each request with so many bytes, until the connection ends.
async fn serve(
    strict: Strict<DuplexStream>,
    conversation: Arc<Conversation>,
    bytes: usize,
) -> hyper::Result<()> {
    let service = service_fn(|_: Request<Incoming>| {
        let answering = conversation.answering();
        let body = Full::new(Bytes::from(vec![b'x'; bytes])).map_err(|never| match never {});
        let body: Body = body.boxed_unsync();
        let mut response = Response::new(held::until_the_end(body, answering));
        // Only the last one is as long as that.
        if bytes > 100_000 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        async { Ok::<_, Infallible>(response) }
    });
    let builder = http1::Builder::new();
    builder.serve_connection(TokioIo::new(strict), service).await
}

/// All that comes, so many bytes at a time with so long between, and when the last of them came.
async fn read_slowly(theirs: &mut DuplexStream, bytes: usize, pause: Duration) -> (usize, Instant) {
    let (mut all, mut buffer, mut last) = (0, vec![0; bytes], Instant::now());
    loop {
        match theirs.read(&mut buffer).await {
            Ok(0) | Err(_) => return (all, last),
            Ok(read) => all += read,
        }
        last = Instant::now();
        timeout(pause, std::future::pending::<()>()).await.unwrap_err();
    }
}

/// Reads with so much room at a time, until the end.
async fn read(strict: &mut Strict<DuplexStream>, room: usize) -> (Vec<u8>, io::Result<()>) {
    let (mut all, mut buffer) = (Vec::new(), vec![0; room]);
    loop {
        match strict.read(&mut buffer).await {
            Ok(0) => return (all, Ok(())),
            Ok(read) => all.extend_from_slice(&buffer[..read]),
            Err(error) => return (all, Err(error)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_of_our_own_stands_for_one_that_is_refused() {
    for room in [1, 7, 64 << 10] {
        let (mut strict, mut theirs, conversation) = pair();
        let row =
            [GOOD, b"POST /a HTTP/1.1\r\nHost: rms\r\nContent-Length: 3\r\n\r\nabc", b"GET /a\r\n", GOOD];
        theirs.write_all(&row.concat()).await.unwrap();
        let (read, ended) = read(&mut strict, room).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(read, [row[0], row[1], STAND_IN].concat(), "with room for {room}");
        let refused: Vec<_> = (0..3).map(|_| conversation.answering().refused()).collect();
        assert_eq!(refused, [None, None, Some(Kind::RequestLine)]);
    }
}

#[tokio::test]
async fn a_body_that_breaks_is_an_error() {
    let (mut strict, mut theirs, conversation) = pair();
    let head = b"POST /a HTTP/1.1\r\nHost: rms\r\nTransfer-Encoding: chunked\r\n\r\n";
    theirs.write_all(&[GOOD, &head[..], b"2\r\nabX"].concat()).await.unwrap();
    let (read, ended) = read(&mut strict, 1_024).await;
    assert_eq!(
        (read.starts_with(&[GOOD, head].concat()), ended.unwrap_err().kind()),
        (true, io::ErrorKind::InvalidData)
    );
    let refused: Vec<_> = (0..2).map(|_| conversation.answering().refused()).collect();
    assert_eq!(refused, [None, Some(Kind::ChunkMalformed)]);
}

#[tokio::test]
async fn nothing_is_kept_between_requests() {
    let (mut strict, mut theirs, _) = pair();
    for piece in GOOD.chunks(5) {
        theirs.write_all(piece).await.unwrap();
        let mut buffer = [0; 8];
        let _ = futures::poll!(Box::pin(strict.read(&mut buffer)));
    }
    drop(theirs);
    let (_, ended) = read(&mut strict, 3).await;
    assert!(ended.is_ok() && strict.held.capacity() == 0);
}

#[tokio::test(start_paused = true)]
async fn a_head_has_ten_seconds_and_a_connection_two_minutes() {
    let (mut strict, mut theirs, conversation) = pair();
    let begun = Instant::now();
    let sending = async {
        for byte in GOOD {
            theirs.write_all(&[*byte]).await.unwrap();
            timeout(Duration::from_secs(1), std::future::pending::<()>()).await.unwrap_err();
        }
        theirs
    };
    let ((got, ended), _theirs) = tokio::join!(read(&mut strict, 1_024), sending);
    assert_eq!((&got[..], ended.unwrap_err().kind()), (STAND_IN, io::ErrorKind::TimedOut));
    assert_eq!(conversation.answering().refused(), Some(Kind::TooSlow));
    assert_eq!(begun.elapsed().as_secs(), 10 + 120);
    let (mut strict, _theirs, _) = pair();
    let begun = Instant::now();
    let (got, ended) = read(&mut strict, 1_024).await;
    assert_eq!((got.len(), ended.unwrap_err().kind()), (0, io::ErrorKind::TimedOut));
    assert_eq!(begun.elapsed().as_secs(), 120);
}

#[tokio::test(start_paused = true)]
async fn while_a_request_is_answered_its_client_may_be_silent() {
    let (mut strict, _theirs, conversation) = pair();
    let answering = conversation.answering();
    let silent = timeout(Duration::from_secs(600), read(&mut strict, 1_024)).await;
    assert!(silent.is_err());
    drop(answering);
    let silent = timeout(Duration::from_secs(600), read(&mut strict, 1_024)).await;
    assert!(silent.unwrap().1.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_still_sends_sees_the_answer_and_no_reset() {
    let (mut strict, mut theirs, _) = pair();
    theirs.write_all(b"GET /a\r\n").await.unwrap();
    let (got, _) = read(&mut strict, 1_024).await;
    assert_eq!(got, STAND_IN);
    theirs.write_all(&[b'x'; 100_000]).await.unwrap();
    let begun = Instant::now();
    strict.shutdown().await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 2);
    assert_eq!(strict.lingered, 100_000);
    // Nobody waits for a client that has nothing more to say.
    let (mut strict, _theirs, _) = pair();
    let begun = Instant::now();
    strict.shutdown().await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 0);
}

/// What comes next has its own two minutes, from when the answer is with its client.
#[tokio::test(start_paused = true)]
async fn while_an_answer_is_sent_slowly_nothing_is_waited_for() {
    let (strict, mut theirs, conversation) = pair_of(&admission(), 1_024);
    theirs.write_all(GOOD).await.unwrap();
    let begun = Instant::now();
    let reading = read_slowly(&mut theirs, 1_024, Duration::from_secs(10));
    let (_, (read, last)) = tokio::join!(serve(strict, conversation, 64 << 10), reading);
    assert!(read > 64 << 10, "{read} bytes");
    assert!(last - begun > Duration::from_secs(600), "{:?}", last - begun);
    let idle = begun.elapsed().saturating_sub(last - begun);
    assert!((100..=120).contains(&idle.as_secs()), "{idle:?}");
}

/// The timer of before has no part in it.
#[tokio::test(start_paused = true)]
async fn each_request_is_waited_for_anew() {
    let (mut strict, _theirs, conversation) = pair();
    let mut wait = async |seconds| {
        timeout(Duration::from_secs(seconds), read(&mut strict, 1_024)).await.map(|(_, ended)| ended)
    };
    assert!(wait(100).await.is_err());
    // Nobody has looked meanwhile.
    drop(conversation.answering());
    assert!(wait(100).await.is_err());
    assert!(wait(21).await.unwrap().is_err());
}

#[tokio::test]
async fn a_long_head_takes_room_until_it_is_whole() {
    let admission = admission();
    let long = begun_long();
    let mut open = Vec::new();
    for _ in 0..3 {
        let (mut strict, mut theirs, _) = pair_of(&admission, 1 << 20);
        theirs.write_all(long.as_bytes()).await.unwrap();
        assert!(futures::poll!(Box::pin(read(&mut strict, 8_192))).is_pending());
        assert_eq!(strict.held.capacity(), HEAD_BYTES_MAX);
        open.push((strict, theirs));
    }
    let (mut strict, mut theirs, conversation) = pair_of(&admission, 1 << 20);
    theirs.write_all(&[GOOD, long.as_bytes()].concat()).await.unwrap();
    let mut buffer = vec![0; 8_192];
    let mut got = Vec::new();
    while got.len() < GOOD.len() + STAND_IN.len() {
        let read = strict.read(&mut buffer).await.unwrap();
        got.extend_from_slice(&buffer[..read]);
    }
    assert_eq!(got, [GOOD, STAND_IN].concat());
    let refused = [conversation.answering().refused(), conversation.answering().refused()];
    assert_eq!(refused, [None, Some(Kind::NoRoom)]);
    for (mut strict, mut theirs) in open {
        theirs.write_all(b"\r\n\r\n").await.unwrap();
        drop(theirs);
        let (got, ended) = read(&mut strict, 8_192).await;
        assert_eq!((got.len(), ended.is_ok()), (long.len() + 4, true));
        assert_eq!(strict.held.capacity(), 0);
    }
    assert!(admission.bytes(1 << 20).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_long_head_has_its_time_whatever_is_answered_before_it() {
    let admission = admission();
    let (strict, mut theirs, conversation) = pair_of(&admission, 1 << 20);
    theirs.write_all(&[GOOD, begun_long().as_bytes()].concat()).await.unwrap();
    let service = service_fn(|_: Request<Incoming>| {
        let answering = conversation.answering();
        async move {
            let _answering = answering;
            std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
        }
    });
    let builder = http1::Builder::new();
    let mut serving = Box::pin(builder.serve_connection(TokioIo::new(strict), service));
    let mut serve_for = async |span| timeout(span, &mut serving).await.unwrap_err();
    serve_for(HEAD_TIMEOUT - Duration::from_secs(1)).await;
    assert!(admission.bytes(1 << 20).is_err(), "the head has its room");
    serve_for(Duration::from_secs(2)).await;
    assert!(admission.bytes(1 << 20).is_ok(), "the head has no room any more");
}

/// A parser that has a whole request besides the one that is answered reads no more.
#[tokio::test(start_paused = true)]
async fn a_long_head_has_its_time_though_nobody_reads() {
    let admission = admission();
    let (mut strict, mut theirs, conversation) = pair_of(&admission, 1 << 20);
    theirs.write_all(&[GOOD, GOOD, begun_long().as_bytes()].concat()).await.unwrap();
    let mut buffer = vec![0; HEAD_BYTES_MAX];
    assert_eq!(strict.read(&mut buffer).await.unwrap(), 2 * GOOD.len());
    let _answering = conversation.answering();
    let over = Instant::now() + HEAD_TIMEOUT + Duration::from_secs(1);
    let is_freed = std::future::poll_fn(|context| {
        assert!(Pin::new(&mut strict).poll_flush(context).is_ready());
        if admission.bytes(1 << 20).is_ok() { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::time::timeout_at(over, is_freed).await.unwrap();
    assert!(Instant::now() + Duration::from_secs(2) > over, "the head had its time");
}

#[tokio::test(start_paused = true)]
async fn a_whole_long_head_that_nobody_reads_ends_its_connection() {
    let admission = admission();
    let (mut strict, mut theirs, conversation) = pair_of(&admission, 1 << 20);
    theirs.write_all(&[GOOD, GOOD, begun_long().as_bytes()].concat()).await.unwrap();
    assert_eq!(strict.read(&mut vec![0; HEAD_BYTES_MAX]).await.unwrap(), 2 * GOOD.len());
    let _answering = conversation.answering();
    theirs.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(strict.read(&mut [0; 1_000]).await.unwrap(), 1_000);
    let begun = Instant::now();
    let ended = std::future::poll_fn(|context| match Pin::new(&mut strict).poll_flush(context) {
        Poll::Ready(Ok(())) => Poll::Pending,
        ended => ended,
    });
    assert_eq!(timeout(2 * HEAD_TIMEOUT, ended).await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(begun.elapsed() > HEAD_TIMEOUT - Duration::from_secs(1));
}

/// A long head without its end.
fn begun_long() -> String {
    format!("GET /a HTTP/1.1\r\nHost: rms\r\nAuthorization: NTLM {}", "A".repeat(20_000))
}
