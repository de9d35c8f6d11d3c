//! The null echo: what the machine itself takes to move such frames, without any client. Bars are multiples of it.
//!
//! The server is plain blocking threads. The client is one tokio task that copies frames into one buffer, writes it, and sends
//! as many frames again as answers came: the cheapest way to keep N requests in flight.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::{TcpListener, TcpStream as BlockingStream},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{pace::Pace, sample::Sample};

/// The sizes of requests and answers, their 4 length bytes included.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// A request.
    pub request: usize,
    /// An answer.
    pub answer: usize,
}

impl Shape {
    /// A send: 1 KiB out, 160 bytes back.
    pub const SEND: Self = Self { request: 1024, answer: 160 };
    /// A pull: 200 bytes out, 32 messages of 1 KiB back.
    pub const PULL: Self = Self { request: 200, answer: 41_800 };
}

/// Serves until the process ends: one thread a connection. The first bytes of a connection say how long answers are.
pub fn serve(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            let _ = echo(stream);
        });
    }
}

fn echo(mut stream: BlockingStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut sizes = [0; 8];
    stream.read_exact(&mut sizes)?;
    let [a, b, c, d, e, f, g, h] = sizes;
    let request = u32::from_be_bytes([a, b, c, d]) as usize;
    let answer = vec![7; u32::from_be_bytes([e, f, g, h]) as usize];
    let mut input = vec![0; 1 << 18];
    let mut output = Vec::new();
    let mut whole = 0;
    loop {
        let read = stream.read(&mut input)?;
        if read == 0 {
            return Ok(());
        }
        whole += read;
        output.clear();
        while whole >= request {
            whole -= request;
            output.extend_from_slice(&answer);
        }
        stream.write_all(&output)?;
    }
}

/// The client's side.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    shape: Shape,
    in_flight: usize,
}

impl Client {
    /// Connects, with this many requests to be in flight.
    ///
    /// # Errors
    ///
    /// When there is no server.
    pub async fn connect(address: &str, shape: Shape, in_flight: usize) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_u32(shape.request as u32).await?;
        stream.write_u32(shape.answer as u32).await?;
        Ok(Self { stream, shape, in_flight })
    }

    /// Sends and receives for this long, and ends with nothing in flight.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn run(&mut self, length: Duration) -> std::io::Result<Sample> {
        let frame = vec![1; self.shape.request];
        let mut output = Vec::with_capacity(self.shape.request * self.in_flight);
        let mut input = vec![0; 1 << 18];
        let mut sample = Sample::begin();
        let end = Instant::now() + length;
        let (mut to_send, mut waiting, mut partial) = (self.in_flight, 0, 0);
        loop {
            let sent = Instant::now();
            output.clear();
            for _ in 0..to_send {
                output.extend_from_slice(&frame);
            }
            waiting += to_send;
            self.stream.write_all(&output).await?;
            let read = self.stream.read(&mut input).await?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            partial += read;
            let answered = partial / self.shape.answer;
            partial %= self.shape.answer;
            waiting -= answered;
            sample.count += answered as u64;
            if answered > 0 {
                sample.latency(sent.elapsed());
            }
            to_send = if Instant::now() < end { answered } else { 0 };
            if waiting == 0 && to_send == 0 {
                return Ok(sample.end());
            }
        }
    }

    /// Sends at this rate for this long, whether answers come or not, and ends with nothing in flight. Latencies count from when
    /// a frame was due. Busy all the time, as the open loop of a producer is.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn open(&mut self, rate: f64, length: Duration) -> std::io::Result<Sample> {
        let frame = vec![1; self.shape.request];
        let mut output = Vec::with_capacity(self.shape.request * self.in_flight);
        let (mut written, mut input, mut partial) = (0, vec![0; 1 << 18], 0);
        let mut due = VecDeque::new();
        let mut sample = Sample::begin();
        let mut pace = Pace::begin(rate, length);
        loop {
            // Not more at once than the closed loop writes, so that reading has its turn.
            for _ in 0..self.in_flight {
                let Some(next) = pace.next() else { break };
                due.push_back(next);
                output.extend_from_slice(&frame);
            }
            if written < output.len() {
                match self.stream.try_write(output.get(written..).unwrap_or_default()) {
                    Ok(bytes) => written += bytes,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
                if written == output.len() {
                    output.clear();
                    written = 0;
                }
            }
            match self.stream.try_read(&mut input) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => partial += read,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            let answered = partial / self.shape.answer;
            partial %= self.shape.answer;
            sample.count += answered as u64;
            due.drain(..answered).for_each(|due: Instant| sample.latency(due.elapsed()));
            if pace.is_over() && due.is_empty() {
                return Ok(sample.end());
            }
            tokio::task::yield_now().await;
        }
    }
}
