//! Who is in by a browser, and by which connections: a thread with a runtime of its own, which does one thing after another.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::member::{Common, Member};
use super::news::{Sealed, Sources, news};
use super::offer::lines;
use super::peer::{Peer, Purpose};
use super::rate::Rate;
use crate::face::Conference;
use crate::live::{Command, Hearing};
use crate::net::quic::Carrier;
use crate::session::{CHAT_TEXT_MAX, Invite};
use crate::web::{self, Answering, Call, Guests, MEMBER_MAX, News, Opened, Refused, Way};

/// What browsers are let into.
pub struct GatewayConfig {
    /// The conference as this machine's own node knows it.
    pub conference: Arc<Mutex<Conference>>,
    /// Where the nodes of browsers listen for others, if not everywhere.
    pub listen: Option<IpAddr>,
    /// What carries their media.
    pub carrier: Carrier,
    /// Who may come by which link, if anybody may from elsewhere.
    pub guests: Option<Arc<Guests>>,
    /// The system's chance.
    pub chance: fn() -> [u8; 32],
    /// The system's time.
    pub unix_seconds: fn() -> f64,
}

/// See the [module](self). Dropping it puts everybody out who came in here.
pub struct Gateway {
    orders: mpsc::Sender<Order>,
    thread: Option<std::thread::JoinHandle<()>>,
}

enum Order {
    Open(Call, oneshot::Sender<Result<Opened, Refused>>),
    Close(String, oneshot::Sender<bool>),
    Say(String, String, oneshot::Sender<Result<bool, Refused>>),
    News(String, oneshot::Sender<Option<News>>),
    /// The connection of that number is over.
    Over(u64),
    /// The member of that number is out.
    Out(u64),
    End,
}

impl Gateway {
    /// Opens for browsers.
    ///
    /// # Errors
    /// The system has no thread or no runtime to give.
    pub fn open(config: GatewayConfig) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (orders, wishes) = mpsc::channel(ORDERS_MAX);
        let own = orders.clone();
        let thread = std::thread::Builder::new().name("browsers".to_owned()).spawn(move || {
            runtime.block_on(Desk::new(config, own).run(wishes));
        })?;
        Ok(Self { orders, thread: Some(thread) })
    }
}

impl web::Gateway for Gateway {
    fn open(&self, call: Call) -> Answering<Result<Opened, Refused>> {
        let orders = self.orders.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let gone = || Refused::Failed("nobody is let in any more".to_owned());
            orders.try_send(Order::Open(call, answer)).map_err(|_| too_many("offers at once"))?;
            answered.await.unwrap_or_else(|_| Err(gone()))
        })
    }

    fn close(&self, id: String) -> Answering<bool> {
        let orders = self.orders.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            orders.send(Order::Close(id, answer)).await.is_ok() && answered.await.unwrap_or(false)
        })
    }

    fn say(&self, id: String, text: String) -> Answering<Result<bool, Refused>> {
        let orders = self.orders.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            orders.try_send(Order::Say(id, text, answer)).map_err(|_| too_many("lines at once"))?;
            answered.await.unwrap_or(Ok(false))
        })
    }

    fn news(&self, id: String) -> Answering<Option<News>> {
        let orders = self.orders.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            orders.send(Order::News(id, answer)).await.ok()?;
            answered.await.ok()?
        })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Full or gone: then the thread has ended, or hears the end of the channel after what waits in it.
        let _ = self.orders.try_send(Order::End);
        if let Some(thread) = self.thread.take() {
            // It ends within `LEAVE_WITHIN`; a panic there has been printed already.
            let _ = thread.join();
        }
    }
}

fn too_many(what: &str) -> Refused {
    Refused::TooMany(format!("too many {what}: try again in a moment"))
}

/// What the thread knows.
struct Desk {
    conference: Arc<Mutex<Conference>>,
    common: Common,
    guests: Option<Arc<Guests>>,
    orders: mpsc::Sender<Order>,
    members: BTreeMap<u64, Seat>,
    calls: BTreeMap<u64, Running>,
    /// Counts members and connections.
    numbers: u64,
    /// By the link that offers came by.
    rates: BTreeMap<Option<u64>, Rate>,
}

/// A member and the connections that it came by.
struct Seat {
    member: Member,
    /// The guests' link that it came by.
    guest: Option<u64>,
    key: Option<String>,
    speaks: Option<u64>,
    listens: Option<u64>,
    /// Whether its voice is sealed in the browser, once it has spoken: a key's counters are counted in one place.
    voice_sealed: Option<bool>,
    sealed: watch::Sender<Sealed>,
    /// What it writes.
    lines: Rate,
}

/// A connection.
struct Running {
    id: String,
    member: u64,
    peer: Peer,
}

impl Desk {
    fn new(config: GatewayConfig, orders: mpsc::Sender<Order>) -> Self {
        let GatewayConfig { conference, listen, carrier, guests, chance, unix_seconds } = config;
        let common = Common { listen, carrier, chance, unix_seconds };
        let (members, calls) = (BTreeMap::new(), BTreeMap::new());
        let rates = BTreeMap::new();
        Self { conference, common, guests, orders, members, calls, numbers: 0, rates }
    }

    async fn run(mut self, mut wishes: mpsc::Receiver<Order>) {
        let mut changes = self.guests.as_ref().map(|guests| guests.changes());
        loop {
            let order = tokio::select! {
                biased;
                () = change(changes.as_mut()) => {
                    self.put_out_guests().await;
                    continue;
                }
                order = wishes.recv() => order,
            };
            let Some(order) = order else { break };
            match order {
                Order::Open(call, answer) => {
                    let opened = self.open(call).await;
                    let id = opened.as_ref().ok().map(|opened| opened.id.clone());
                    // Who has gone meanwhile does not know what to close.
                    if answer.send(opened).is_err()
                        && let Some(id) = id
                    {
                        self.close(&id).await;
                    }
                }
                Order::Close(id, answer) => {
                    let _ = answer.send(self.close(&id).await);
                }
                Order::Say(id, text, answer) => {
                    let _ = answer.send(self.say(&id, text));
                }
                Order::News(id, answer) => {
                    let _ = answer.send(self.seat(&id).and_then(|seat| seat.news()));
                }
                Order::Over(number) => self.end_call(number).await,
                Order::Out(number) => self.end_member(number).await,
                Order::End => break,
            }
        }
        for number in self.members.keys().copied().collect::<Vec<_>>() {
            self.end_member(number).await;
        }
        // They say goodbye; how many are still at it only they know.
        drop(self.orders);
        let _ = timeout(LEAVE_WITHIN, async { while wishes.recv().await.is_some() {} }).await;
    }

    /// Who came by a link that was taken back is put out.
    async fn put_out_guests(&mut self) {
        let is_out = |seat: &Seat| seat.guest.is_some_and(|link| !self.is_open(link));
        let out: Vec<u64> =
            self.members.iter().filter(|(_, seat)| is_out(seat)).map(|(number, _)| *number).collect();
        for number in out {
            self.end_member(number).await;
        }
        let guests = self.guests.clone();
        self.rates.retain(|link, _| link.is_none_or(|link| guests.as_ref().is_some_and(|g| g.is_open(link))));
    }

    fn is_open(&self, link: u64) -> bool {
        self.guests.as_ref().is_some_and(|guests| guests.is_open(link))
    }

    /// Who is in by that connection.
    fn seat(&mut self, id: &str) -> Option<&mut Seat> {
        let call = self.calls.values().find(|call| call.id == id)?;
        self.members.get_mut(&call.member)
    }

    fn say(&mut self, id: &str, text: String) -> Result<bool, Refused> {
        let Some(seat) = self.seat(id) else { return Ok(false) };
        if text.len() > CHAT_TEXT_MAX {
            return Err(Refused::Malformed(format!("a message has at most {CHAT_TEXT_MAX} bytes")));
        }
        if !seat.lines.grants(Instant::now()) {
            return Err(too_many("lines"));
        }
        // A node that does not keep up has more to do than this.
        seat.member.commands.try_send(Command::Say(text)).map_err(|_| too_many("lines at once"))?;
        Ok(true)
    }

    async fn open(&mut self, call: Call) -> Result<Opened, Refused> {
        let Call { way, offer, name, member: key, guest, reached, sealed } = call;
        // Taken back since it was looked at.
        if guest.is_some_and(|link| !self.is_open(link)) {
            return Err(Refused::Forbidden("this link was taken back".to_owned()));
        }
        // There are as many as links that open, and one.
        if !self.rates.entry(guest).or_default().grants(Instant::now()) {
            return Err(too_many("offers"));
        }
        let lines = lines(&offer)?;
        if key.as_ref().is_some_and(|key| key.len() > MEMBER_MAX) {
            return Err(Refused::Malformed(format!("a member's word has at most {MEMBER_MAX} bytes")));
        }
        let tracks = match way {
            Way::Speak if !lines.iter().any(|line| line.sends) => {
                return Err(Refused::Malformed(
                    "nothing is sent by that offer: WHEP is for listening".to_owned(),
                ));
            }
            Way::Speak => 0,
            Way::Listen { .. } => lines.iter().filter(|line| line.listens).count(),
        };
        let hearing = match way {
            Way::Speak => None,
            Way::Listen { .. } if tracks == 0 => {
                return Err(Refused::Malformed(
                    "nobody listens by that offer: WHIP is for speaking".to_owned(),
                ));
            }
            // One track cannot keep voices apart.
            Way::Listen { mix } if mix.unwrap_or(tracks == 1 && !sealed) => {
                if sealed {
                    let why = "a mix is made here, from voices that are opened here: it cannot be sealed";
                    return Err(Refused::Malformed(why.to_owned()));
                }
                Some((Hearing::Mixed, 1))
            }
            Way::Listen { .. } if sealed => Some((Hearing::Sealed, tracks)),
            Way::Listen { .. } => Some((Hearing::Apart, tracks)),
        };
        if self.calls.len() >= CALLS_MAX {
            return Err(too_many("browsers"));
        }
        let number = self.member(key, name, guest)?;
        let opened = self.connect(number, hearing, sealed, reached, offer, &lines).await;
        // Who came for this alone has come for nothing.
        if opened.is_err() && self.members.get(&number).is_some_and(Seat::is_idle) {
            self.end_member(number).await;
        }
        opened
    }

    /// The number of the member who goes by `key`, who enters if need be.
    fn member(&mut self, key: Option<String>, name: String, guest: Option<u64>) -> Result<u64, Refused> {
        let is_known = |seat: &Seat| key.is_some() && seat.key == key && seat.guest == guest;
        let known = self.members.iter().find(|(_, seat)| is_known(seat));
        if let Some((number, _)) = known {
            return Ok(*number);
        }
        let guests = self.members.values().filter(|seat| seat.guest.is_some()).count();
        if self.members.len() >= MEMBERS_MAX || guest.is_some() && guests >= GUESTS_MAX {
            return Err(too_many("browsers"));
        }
        let (invite, entry) = self.conference().ok_or_else(|| {
            Refused::Conflict("it is in no conference (yet): try again when it is".to_owned())
        })?;
        self.numbers += 1;
        let number = self.numbers;
        let orders = self.orders.clone();
        let over = move |_| {
            // On a full channel somebody else is waited for; the task waits as well.
            tokio::spawn(async move { orders.send(Order::Out(number)).await });
        };
        let member = Member::enter(&self.common, &invite, &entry, name, over)
            .map_err(|error| Refused::Failed(format!("no port can be opened ({error})")))?;
        let (voice_sealed, sealed, lines) = (None, watch::Sender::new(Sealed::default()), Rate::default());
        let seat = Seat { member, guest, key, speaks: None, listens: None, voice_sealed, sealed, lines };
        self.members.insert(number, seat);
        Ok(number)
    }

    /// The conference's id as it is now, and where this machine's own node is.
    fn conference(&self) -> Option<(Invite, Vec<SocketAddr>)> {
        // A picture of the conference stays usable whatever befell another reader.
        let conference = self.conference.lock().unwrap_or_else(PoisonError::into_inner);
        let invite = conference.session.as_ref()?.id.parse().ok()?;
        Some((invite, conference.listen.iter().filter_map(|addr| addr.parse().ok()).collect()))
    }

    async fn connect(
        &mut self,
        number: u64,
        hearing: Option<(Hearing, usize)>,
        sealed: bool,
        reached: IpAddr,
        offer: String,
        lines: &[super::offer::Line],
    ) -> Result<Opened, Refused> {
        let seat = self.members.get_mut(&number).ok_or_else(|| Refused::Failed("it has left".to_owned()))?;
        let twice = |what: &str| Refused::Conflict(format!("this member {what} already: close that first"));
        let purpose = match hearing {
            None if seat.speaks.is_some() => return Err(twice("speaks")),
            // Who has sealed once by its key knows how far it has counted, and nobody else does.
            None if seat.voice_sealed.is_some_and(|before| before || sealed) => {
                return Err(Refused::Conflict(
                    "this member's voice was sealed elsewhere before: come as another member".to_owned(),
                ));
            }
            None => {
                seat.voice_sealed = Some(sealed);
                Purpose::Speak(seat.member.voice.clone(), sealed)
            }
            Some((_, tracks)) => {
                Purpose::Listen(seat.member.ears.take().ok_or_else(|| twice("listens"))?, tracks)
            }
        };
        let listens = hearing.is_some();
        let (lines, chance) = (lines.to_vec(), (self.common.chance)());
        // On a task of its own: what the library does not survive is this offer's trouble alone.
        let answering =
            tokio::spawn(async move { Peer::answer(offer, &lines, purpose, reached, chance).await });
        let answered = match answering.await {
            Ok(answered) => answered,
            Err(_) => Err(Refused::Malformed("the offer cannot be taken".to_owned())),
        };
        let (peer, answer) = match answered {
            Ok(answered) => answered,
            Err(refused) => {
                if listens {
                    // Its ears went down with the connection: whoever listens next is another member.
                    seat.key = None;
                }
                return Err(refused);
            }
        };
        self.numbers += 1;
        let call = self.numbers;
        if let Some((hearing, _)) = hearing {
            seat.member.hearing.send_replace(hearing);
            seat.listens = Some(call);
            seat.sealed.send_modify(|told| told.ears = sealed);
        } else {
            seat.speaks = Some(call);
            seat.sealed.send_modify(|told| told.voice = sealed);
        }
        let (over, orders) = (peer.over(), self.orders.clone());
        tokio::spawn(async move {
            over.await;
            let _ = orders.send(Order::Over(call)).await;
        });
        let id = data_encoding::HEXLOWER.encode(&(self.common.chance)()[..16]);
        let node = seat.member.node.to_string();
        self.calls.insert(call, Running { id: id.clone(), member: number, peer });
        Ok(Opened { id, answer, node })
    }

    async fn close(&mut self, id: &str) -> bool {
        let Some(number) = self.calls.iter().find(|(_, call)| call.id == id).map(|(number, _)| *number)
        else {
            return false;
        };
        self.end_call(number).await;
        true
    }

    async fn end_call(&mut self, number: u64) {
        let Some(call) = self.calls.remove(&number) else { return };
        let ears = call.peer.end().await;
        let Some(seat) = self.members.get_mut(&call.member) else { return };
        if seat.speaks == Some(number) {
            seat.speaks = None;
        }
        if seat.listens == Some(number) {
            seat.listens = None;
            seat.member.hearing.send_replace(Hearing::Nothing);
            seat.member.ears = ears;
        }
        if seat.is_idle() {
            self.end_member(call.member).await;
        }
    }

    /// It leaves, and its connections go with it.
    async fn end_member(&mut self, number: u64) {
        let Some(seat) = self.members.remove(&number) else { return };
        for call in [seat.speaks, seat.listens].into_iter().flatten() {
            if let Some(call) = self.calls.remove(&call) {
                call.peer.end().await;
            }
        }
    }
}

/// Resolves when there are links that open no more.
async fn change(changes: Option<&mut watch::Receiver<u64>>) {
    let has_changed = match changes {
        Some(changes) => changes.changed().await.is_ok(),
        None => false,
    };
    // Whoever could take one back is gone: nobody does any more.
    if !has_changed {
        std::future::pending().await
    }
}

impl Seat {
    fn is_idle(&self) -> bool {
        self.speaks.is_none() && self.listens.is_none()
    }

    /// None once its node has ended.
    fn news(&self) -> Option<News> {
        let Member { secrets, vouched, told, .. } = &self.member;
        let (secrets, vouched, told) = (secrets.clone(), vouched.upgrade()?.subscribe(), told.clone());
        Some(news(Sources { secrets, sealed: self.sealed.subscribe(), vouched, told }))
    }
}

/// Members that are in by a browser at a time: each costs this machine's line what a member costs.
const MEMBERS_MAX: usize = 16;
/// Of these, guests: who runs this node finds a place.
const GUESTS_MAX: usize = 12;
/// Connections at a time: two for each.
const CALLS_MAX: usize = 32;
/// Orders that wait.
const ORDERS_MAX: usize = 64;
/// For goodbyes.
const LEAVE_WITHIN: Duration = Duration::from_millis(1_000);
