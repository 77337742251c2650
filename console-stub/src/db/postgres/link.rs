//! One connection to the server, and statements that go over it together.
//!
//! Invariant: what is sent together is sent in its order, and answered in it. The server works on a connection's statements one
//! by one, so what comes behind one that failed fails too.

use std::collections::HashMap;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::maybe_done;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, NoTls, Row, Socket, Statement};

use super::tls;
use super::url::{ServerUrl, Trust, in_full};
use crate::clock::Clock;
use crate::db::{DbError, Rows, Value};

/// Prepared statements kept per connection; there are fewer queries than this.
const STATEMENTS: usize = 256;
/// Longest time to take leave of the server.
const LEAVE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) enum Step {
    Script(String),
    /// The beginning of a change; `again` where an earlier one had a mark too, which this ends.
    Mark {
        /// Whether there was one.
        again: bool,
    },
    Change(Statement, Vec<Value>, Rows),
    Find(Statement, Vec<Value>),
}

#[derive(Debug)]
pub(super) enum Reply {
    Done,
    Changed(u64),
    Found(Vec<Row>),
}

impl Step {
    async fn run(&self, client: &Client) -> Result<Reply, Error> {
        match self {
            Self::Script(sql) => client.batch_execute(sql).await.map(|()| Reply::Done),
            Self::Mark { again } => {
                let sql = if *again { "RELEASE SAVEPOINT job; SAVEPOINT job" } else { "SAVEPOINT job" };
                client.batch_execute(sql).await.map(|()| Reply::Done)
            }
            Self::Change(statement, args, _) => {
                client.execute(statement, &borrowed(args)).await.map(Reply::Changed)
            }
            Self::Find(statement, args) => client.query(statement, &borrowed(args)).await.map(Reply::Found),
        }
    }
}

fn borrowed(args: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    args.iter().map(|arg| arg as &(dyn ToSql + Sync)).collect()
}

/// Connects. How the connection ends is seen by whoever uses it next.
async fn connect<T>(config: &Config, tls: T) -> Result<(Client, JoinHandle<()>), Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, connection) = config.connect(tls).await?;
    Ok((client, tokio::spawn(async { drop(connection.await) })))
}

/// An open connection. It has a small runtime of its own, so that it can be used where waiting is allowed and nowhere else.
pub(super) struct Link {
    runtime: Runtime,
    client: Client,
    served: JoinHandle<()>,
    statements: HashMap<String, Statement>,
}

impl Link {
    /// Connects, and tells the session what it is to be like.
    pub(super) fn open(server: &ServerUrl, clock: &Clock, session: &str) -> Result<Self, DbError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| DbError::Engine(format!("no runtime: {error}")))?;
        let place = server.place();
        let unreachable = |error: Error| DbError::Unavailable(format!("{place}: {}", in_full(&error)));
        let connected = match &server.trust {
            Trust::DangerPlain => runtime.block_on(connect(&server.config, NoTls)),
            Trust::Verified(roots) => {
                runtime.block_on(connect(&server.config, tls::connector(roots, clock)?))
            }
        };
        let (client, served) = connected.map_err(unreachable)?;
        let link = Self { runtime, client, served, statements: HashMap::new() };
        link.runtime.block_on(link.client.batch_execute(session)).map_err(unreachable)?;
        Ok(link)
    }

    /// Whether the server, or the way to it, is gone as far as anybody has noticed.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn knows(&self, sql: &str) -> bool {
        self.statements.contains_key(sql)
    }

    /// The statement of this text, made at its first use.
    pub(super) fn prepared(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let made = self.runtime.block_on(self.client.prepare(sql))?;
        if self.statements.len() >= STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), made.clone());
        Ok(made)
    }

    /// Sends all of it before anything is waited for, and gives all answers.
    pub(super) fn run(&self, steps: &[Step]) -> Vec<Result<Reply, Error>> {
        self.runtime.block_on(async {
            // A call is sent when it is looked at for the first time, so looking in order sends in order.
            let mut calls: Vec<_> =
                steps.iter().map(|step| Box::pin(maybe_done(step.run(&self.client)))).collect();
            poll_fn(|context| {
                let mut all = true;
                for call in &mut calls {
                    all &= call.as_mut().poll(context).is_ready();
                }
                if all { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            calls.iter_mut().map(|call| call.as_mut().take_output().expect("all are done")).collect()
        })
    }

    /// Takes leave, on a thread of its own: a runtime must not end on a thread that serves another one.
    pub(super) fn close(self) {
        let Self { runtime, client, served, statements } = self;
        let leave = move || {
            drop((statements, client));
            // Whether the server heard it or not, the connection is gone then.
            let _ = runtime.block_on(async { tokio::time::timeout(LEAVE, served).await });
        };
        if let Ok(closing) = std::thread::Builder::new().name("db-close".to_owned()).spawn(leave) {
            // A panic there has ended the connection just as well.
            let _ = closing.join();
        }
    }
}
