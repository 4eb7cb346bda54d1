//! The filter as a stream: it pulls bytes from below and pushes lines and literals up.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{BUFFER, State, WireFilter};

impl<T: AsyncRead + Unpin> WireFilter<T> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
        self.start = 0;
        self.end = buffer.filled().len();
        if self.end == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Poll::Ready(Ok(()))
    }

    /// Hands out a part of a literal. A large one goes from the socket to the parser's
    /// buffer without a stop in ours.
    fn poll_literal(
        &mut self,
        cx: &mut Context<'_>,
        dst: &mut ReadBuf<'_>,
        left: u64,
    ) -> Poll<io::Result<()>> {
        let room = dst
            .remaining()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        if self.unread().is_empty() && room >= BUFFER {
            let mut part = ReadBuf::new(dst.initialize_unfilled_to(room));
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            if read == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            dst.advance(read);
            self.state = State::Literal(left - read as u64);
            return Poll::Ready(Ok(()));
        }
        if self.unread().is_empty() {
            ready!(self.poll_fill(cx))?;
        }
        let part = self.take_unread(room as u64);
        dst.put_slice(part);
        self.state = State::Literal(left - part.len() as u64);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WireFilter<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        dst: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if dst.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if this.give_out(dst) {
                return Poll::Ready(Ok(()));
            }
            match &mut this.state {
                State::Line => {
                    if this.gather_line()? {
                        this.finish_line()?;
                    } else {
                        ready!(this.poll_fill(cx))?;
                    }
                }
                State::Literal(0) | State::Diverted(0, _) => this.end_of_literal(),
                State::Literal(left) => {
                    let left = *left;
                    return this.poll_literal(cx, dst, left);
                }
                State::Diverted(left, spooling) => {
                    let (left, spooling) = (*left, spooling.take());
                    this.divert(left, spooling)?;
                    if matches!(this.state, State::Diverted(left, _) if left > 0) {
                        ready!(this.poll_fill(cx))?;
                    }
                }
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WireFilter<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
