//! A TCP proxy that breaks off, stalls or dribbles what the server says, at an exact byte.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What happens to one connection, counted in bytes from server to client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Closed in good order after so many bytes.
    Cut(u64),
    /// Reset after so many bytes.
    Reset(u64),
    /// Nothing more after so many bytes, and never closed.
    Stall(u64),
    /// One byte at a time.
    Dribble,
}

impl Fault {
    const fn limit(self) -> u64 {
        match self {
            Self::Cut(k) | Self::Reset(k) | Self::Stall(k) => k,
            Self::None | Self::Dribble => u64::MAX,
        }
    }
}

type Plan = Box<dyn FnMut(usize) -> Fault + Send>;

struct Shared {
    upstream: u16,
    plan: Mutex<Plan>,
    connections: AtomicUsize,
    /// Bytes from server to client on all connections.
    bytes: AtomicU64,
}

pub struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// In front of a server on this port; `plan` names the fault of the n-th connection, from 1.
    pub fn start(upstream: u16, plan: impl FnMut(usize) -> Fault + Send + 'static) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream,
            plan: Mutex::new(Box::new(plan)),
            connections: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(&listener, &serving) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            port,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Another plan; connections are counted from 1 again.
    pub fn plan(&self, plan: impl FnMut(usize) -> Fault + Send + 'static) {
        *self.shared.plan.lock().unwrap() = Box::new(plan);
        self.shared.connections.store(0, Ordering::SeqCst);
        self.shared.bytes.store(0, Ordering::SeqCst);
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Bytes the server has said since the plan was made.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).unwrap_or_default();
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let fault = (shared.plan.lock().unwrap())(number);
        let Ok(server) = TcpStream::connect(("127.0.0.1", shared.upstream)).await else {
            continue;
        };
        let (client_nodelay, server_nodelay) = (client.set_nodelay(true), server.set_nodelay(true));
        client_nodelay.and(server_nodelay).unwrap();
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            // Errors are connections that ended, which is what this is for.
            drop(relay(client, server, fault, &shared).await);
        });
    }
}

async fn relay(
    client: TcpStream,
    server: TcpStream,
    fault: Fault,
    shared: &Shared,
) -> std::io::Result<()> {
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let mut to_client = to_client;
    {
        let up = tokio::io::copy(&mut from_client, &mut to_server);
        let down = copy_down(from_server, &mut to_client, fault, shared);
        tokio::select! {
            result = up => drop(result?),
            result = down => result?,
        }
    }
    let client = to_client
        .reunite(from_client)
        .map_err(std::io::Error::other)?;
    if matches!(fault, Fault::Reset(_)) {
        // Closing with this set sends RST instead of FIN.
        client.set_zero_linger()?;
    }
    drop(client);
    Ok(())
}

async fn copy_down(
    mut server: OwnedReadHalf,
    client: &mut OwnedWriteHalf,
    fault: Fault,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut left = fault.limit();
    let mut buffer = vec![0; 1 << 16];
    while left > 0 {
        let n = server.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        let part = &buffer[..n.min(usize::try_from(left).unwrap_or(usize::MAX))];
        let step = if fault == Fault::Dribble {
            1
        } else {
            part.len()
        };
        for piece in part.chunks(step) {
            client.write_all(piece).await?;
        }
        shared.bytes.fetch_add(part.len() as u64, Ordering::SeqCst);
        left -= part.len() as u64;
    }
    if matches!(fault, Fault::Stall(_)) {
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    Ok(())
}
