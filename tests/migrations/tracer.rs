//! Runs a program under ptrace and kills it before the n-th system call that has to do with the world outside of the
//! process: one that changes a file or a folder, or one on a socket.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use filestore_testbed::{Result, failed};
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Waits for its line, so that the tracer can attach, and becomes the program.
const START: &str = "read -r line && exec \"$@\" </dev/null";

/// A system call that concerns the world outside of the process.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) kind: &'static str,
    /// The file or the socket, if the call is on one that is open.
    #[expect(dead_code, reason = "printed with `Debug`")]
    target: Option<String>,
}

/// The end of a traced run.
#[derive(Debug)]
pub(crate) enum End {
    /// The program was killed before this call.
    Killed(Call),
    /// The program ended before its n-th call, with this status and these errors.
    Exited(ExitStatus, String),
}

/// Runs the program until it is about to make its `n`-th call, from 1.
///
/// The caller's thread traces the program, and waits for no process that another thread has started.
pub(crate) fn run(program: &Path, arguments: &[String], n: usize) -> Result<End> {
    let mut command = Command::new("sh");
    command.args(["-c", START, "sh"]).arg(program).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed("start the program"))?;
    let main = Pid::from_raw(child.id().try_into().map_err(failed("read the id of the process"))?);
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(main, options).map_err(failed("trace the program"))?;
    let mut stdin = child.stdin.take().ok_or("the program has no standard input")?;
    stdin.write_all(b"start\n").map_err(failed("start the program"))?;
    let mut tracer = Tracer { main, calls: 0, n, killed_before: None };
    let status = tracer.wait()?;
    let mut errors = String::new();
    let mut stderr = child.stderr.take().ok_or("the program has no standard error")?;
    stderr.read_to_string(&mut errors).map_err(failed("read the errors of the program"))?;
    Ok(tracer.killed_before.map_or(End::Exited(status, errors), End::Killed))
}

struct Tracer {
    /// The process, which is its first thread.
    main: Pid,
    calls: usize,
    n: usize,
    killed_before: Option<Call>,
}

impl Tracer {
    /// Traces the program until it ends.
    fn wait(&mut self) -> Result<ExitStatus> {
        loop {
            let any = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            let status = waitpid(None::<Pid>, Some(any)).map_err(failed("wait for the program"))?;
            match status {
                WaitStatus::Exited(thread, code) if thread == self.main => {
                    return Ok(ExitStatus::from_raw(code << 8));
                }
                WaitStatus::Signaled(thread, signal, _) if thread == self.main => {
                    return Ok(ExitStatus::from_raw(signal as i32));
                }
                WaitStatus::PtraceSyscall(thread) => {
                    self.at_call(thread)?;
                    resume(thread, None)?;
                }
                // A signal is delivered as without the tracer.
                WaitStatus::Stopped(thread, signal) => resume(thread, Some(signal))?,
                // The start of the program or of a thread.
                WaitStatus::PtraceEvent(thread, ..) => resume(thread, None)?,
                _ => {}
            }
        }
    }

    /// Counts the call that a thread begins, and kills the process instead if it is the n-th. The kernel skips the call of a
    /// thread that was killed at its beginning.
    fn at_call(&mut self, thread: Pid) -> Result<()> {
        // The process may be dying, and the thread with it.
        let Ok(info) = ptrace::syscall_info(thread) else { return Ok(()) };
        if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY || self.killed_before.is_some() {
            return Ok(());
        }
        let Some(call) = Registers::of(thread).ok().and_then(|registers| registers.call(self.main)) else {
            return Ok(());
        };
        self.calls += 1;
        if self.calls == self.n {
            kill(self.main, Signal::SIGKILL).map_err(failed("kill the program"))?;
            self.killed_before = Some(call);
        }
        Ok(())
    }
}

fn resume(thread: Pid, signal: Option<Signal>) -> Result<()> {
    match ptrace::syscall(thread, signal) {
        // The process was killed meanwhile.
        Ok(()) | Err(nix::Error::ESRCH) => Ok(()),
        Err(error) => Err(format!("resume a thread: {error}")),
    }
}

/// A thread at the beginning of a system call.
struct Registers {
    thread: Pid,
    number: libc::c_long,
    arguments: [u64; 3],
}

impl Registers {
    #[cfg(target_arch = "x86_64")]
    fn of(thread: Pid) -> nix::Result<Self> {
        let registers = ptrace::getregs(thread)?;
        let arguments = [registers.rdi, registers.rsi, registers.rdx];
        Ok(Self { thread, number: registers.orig_rax as libc::c_long, arguments })
    }

    #[cfg(target_arch = "aarch64")]
    fn of(thread: Pid) -> nix::Result<Self> {
        let registers = ptrace::getregset::<ptrace::regset::NT_PRSTATUS>(thread)?.regs;
        Ok(Self { thread, number: registers[8] as libc::c_long, arguments: [registers[0], registers[1], registers[2]] })
    }

    /// Returns the call, if it concerns the world outside of the process `main`.
    fn call(&self, main: Pid) -> Option<Call> {
        let on_path = |kind| Some(Call { kind, target: None });
        let kind = match self.number {
            libc::SYS_write | libc::SYS_writev | libc::SYS_pwrite64 | libc::SYS_pwritev => "write",
            libc::SYS_fsync | libc::SYS_fdatasync => "sync",
            libc::SYS_ftruncate | libc::SYS_fallocate => "truncate",
            libc::SYS_connect => "connect",
            libc::SYS_sendto | libc::SYS_sendmsg => "send",
            libc::SYS_recvfrom | libc::SYS_recvmsg => "receive",
            libc::SYS_openat if self.arguments[2] as i32 & libc::O_CREAT != 0 => return on_path("create"),
            libc::SYS_openat2 if self.open_how() & libc::O_CREAT != 0 => return on_path("create"),
            libc::SYS_renameat | libc::SYS_renameat2 => return on_path("rename"),
            libc::SYS_linkat => return on_path("link"),
            libc::SYS_unlinkat => return on_path("unlink"),
            libc::SYS_mkdirat => return on_path("mkdir"),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_rename => return on_path("rename"),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_link => return on_path("link"),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_unlink => return on_path("unlink"),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_mkdir => return on_path("mkdir"),
            _ => return None,
        };
        let target = fs::read_link(format!("/proc/{main}/fd/{}", self.arguments[0])).ok()?.into_os_string();
        let target = target.into_string().ok()?;
        // The other calls are between threads, or on the standard streams.
        let is_outside = target.starts_with("socket:") || target.starts_with('/') && !target.starts_with("/dev/");
        is_outside.then_some(Call { kind, target: Some(target) })
    }

    /// Returns the flags of an `openat2`, which are the first field of its `open_how`.
    fn open_how(&self) -> i32 {
        let address = self.arguments[2] as ptrace::AddressType;
        ptrace::read(self.thread, address).map_or(0, |flags| flags as i32)
    }
}
