//! An interrupt while the system opens an adapter and does not come back.
//!
//! The adapter is made of files: in a mount namespace of its own the program sees a `/sys/bus/usb` and a `/dev/bus/usb`
//! with one device. Somebody else has a lease on its node (fcntl(2), `F_SETLEASE`), so that opening it hangs until he lets
//! go. Needs Linux with user namespaces, and Python for the lease.
#![cfg(all(target_os = "linux", feature = "libusb"))]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

/// Makes the bus and the lease, starts the program, tells its process id once it hangs, and lets go when told to.
const SCRIPT: &str = r#"
import fcntl, os, signal, subprocess, sys
sysfs, dev, nodes = '/sys/bus/usb/devices', sys.argv[1], '/dev/bus/usb/003'
def mount(*arguments): subprocess.run(['mount', *arguments], check=True)
def descriptor(*rest): return bytes((len(rest) + 1, *rest))
mount('-t', 'tmpfs', 'bus', '/sys/bus')
mount('-t', 'tmpfs', 'dev', dev)
open(f'{dev}/null', 'w').close()
mount('--bind', '/dev/null', f'{dev}/null')
mount('--rbind', dev, '/dev')
os.makedirs(nodes)
adapter = descriptor(1, 0, 2, 0, 0, 0, 64, 0xda, 0x0b, 0x12, 0x88, 0, 0, 0, 0, 0, 1)
adapter += descriptor(2, 18, 0, 1, 1, 0, 0x80, 250) + descriptor(4, 0, 0, 0, 0xff, 0xff, 0xff, 0)
for name, number, content in ('usb3', 1, adapter), ('3-2', 7, adapter):
    os.makedirs(f'{sysfs}/{name}')
    for attribute, value in ('busnum', 3), ('devnum', number), ('speed', 480), ('bConfigurationValue', 1):
        open(f'{sysfs}/{name}/{attribute}', 'w').write(f'{value}\n')
    open(f'{sysfs}/{name}/descriptors', 'wb').write(content)
    open(f'{nodes}/{number:03}', 'w').close()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
node = os.open(f'{nodes}/007', os.O_RDWR)
fcntl.fcntl(node, fcntl.F_SETLEASE, fcntl.F_WRLCK)
program = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
signal.sigwait([signal.SIGIO])
print(program.pid, flush=True)
sys.stdin.readline()
fcntl.fcntl(node, fcntl.F_SETLEASE, fcntl.F_UNLCK)
sys.exit(program.wait())
"#;

/// A program that hangs.
struct Hanging {
    script: Child,
    program: String,
    told: BufReader<std::process::ChildStderr>,
}

impl Hanging {
    fn start(number: usize, line: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hanging-open-{number}"));
        fs::create_dir_all(&folder).unwrap();
        let mut script = Command::new("unshare")
            .args(["--map-root-user", "--mount", "python3", "-c", SCRIPT])
            .args([folder.to_str().unwrap(), env!("CARGO_BIN_EXE_airlift")])
            .args(line.split_whitespace())
            .env_remove("AIRLIFT_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut program = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut program).unwrap();
        let mut told = BufReader::new(script.stderr.take().unwrap());
        if program.is_empty() {
            let mut why = String::new();
            told.read_to_string(&mut why).unwrap();
            panic!("{line}: {why}");
        }
        Self { script, program: program.trim().to_owned(), told }
    }

    fn interrupt(&self) {
        assert!(Command::new("kill").args(["-INT", &self.program]).status().unwrap().success());
    }

    /// Whether it has ended, without its parent having asked (proc(5)).
    fn has_ended(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/stat", self.program)).unwrap();
        status.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        line
    }

    /// Lets the system open the adapter, and waits for the program's end.
    fn let_go(mut self) -> (ExitStatus, String) {
        writeln!(self.script.stdin.take().unwrap()).unwrap();
        let mut rest = String::new();
        self.told.read_to_string(&mut rest).unwrap();
        (self.script.wait().unwrap(), rest)
    }
}

/// Whether this system lets an ordinary user make a bus.
fn can_be_done() -> bool {
    let tried = Command::new("unshare")
        .args(["--map-root-user", "--mount", "python3", "-c", "import fcntl; fcntl.F_SETLEASE"])
        .status();
    let can = Path::new("/sys/bus").is_dir() && tried.as_ref().is_ok_and(ExitStatus::success);
    if !can {
        eprintln!("SKIPPED: no mount namespace for an ordinary user, or no Python: {tried:?}");
    }
    can
}

const LINES: [(&str, &str); 4] = [
    ("capture --device 3-2", "the system has done with opening the adapter"),
    ("capture --device 3-2 --detach", "the adapter is given back to the system"),
    ("inject --read /dev/null --device 3-2", "the system has done with opening the adapter"),
    ("inject --read /dev/null --device 3-2 --detach", "the adapter is given back to the system"),
];

#[test]
fn an_interrupt_while_an_adapter_is_opened_says_what_is_waited_for_and_a_second_one_does_not_wait() {
    if !can_be_done() {
        return;
    }
    thread::scope(|scope| {
        for (number, (line, expected)) in LINES.into_iter().enumerate() {
            for again in [false, true] {
                scope.spawn(move || {
                    let mut program = Hanging::start(2 * number + usize::from(again), line);
                    program.interrupt();
                    let told = program.line();
                    assert!(told.contains(expected), "{line}: {told}");
                    assert!(told.contains("another interrupt ends the program at once"), "{line}: {told}");
                    if again {
                        program.interrupt();
                        // One that waits does so until the system takes the lease away, and then says something.
                        while !program.has_ended() {
                            thread::yield_now();
                        }
                    }
                    let (status, rest) = program.let_go();
                    assert_eq!(status.code(), Some(130), "{line}: {rest}");
                    let because = rest.contains("interrupted while the adapter was opened");
                    assert_eq!(because, !again, "{line}: {rest}");
                });
            }
        }
    });
}
