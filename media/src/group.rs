//! The members' common secret: a group by MLS (RFC 9420) whose commits the session's task manager alone makes, so that
//! they are in order.
//!
//! ```text
//! joiner  -- key package -----------> manager     an Applicant: its leaf's key is its node's
//! manager -- welcome ---------------> joiner      who becomes a Group
//! manager -- commit ----------------> members     who follow; the next epoch's keys are in use from then on
//! ```
//!
//! Every join and every leave makes a new epoch, and with it a new secret that those outside do not have (RFC 9420,
//! section 8.5, the exporter). Senders' keys are derived from it ([`crate::SenderKey`]). A leaf is signed by its node's
//! own key: who is in the group is who the roster says, or the change is refused. Left out: proposals by members
//! (what they want goes to the manager), and storage (a restarted member is a new leaf).

use std::sync::Arc;

use openmls::prelude::tls_codec::{Deserialize, Serialize};
use openmls::prelude::{
    BasicCredential, Ciphersuite, CredentialWithKey, GroupId, KeyPackage, KeyPackageIn, LeafNodeIndex,
    MlsGroup, MlsGroupCreateConfig, MlsGroupJoinConfig, MlsMessageBodyIn, MlsMessageIn, OpenMlsProvider,
    ProcessedMessageContent, ProtocolVersion, Sender, SignaturePublicKey, SignatureScheme, StagedWelcome,
    Welcome,
};
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::signatures::{Signer, SignerError};

/// Members of one group.
pub const GROUP_MEMBERS_MAX: usize = 1_024;

/// The longest key package, in bytes: ours have some 300.
pub const KEY_PACKAGE_MAX: usize = 1_024;

/// The longest welcome or commit, in bytes: the tree of a full group.
pub const GROUP_MESSAGE_MAX: usize = 1 << 20;

/// X25519, AES-128-GCM, SHA-256, Ed25519 (RFC 9420, section 17.1): the one that all must have.
const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;

/// What the exported secret is for (RFC 9420, section 8.5).
const MEDIA_LABEL: &str = "alm media v1";

/// The same for the mark by which two members know that they are of one epoch.
const MARK_LABEL: &str = "alm epoch mark v1";

/// The same for the tag that tells epochs apart on the wire.
const TAG_LABEL: &str = "alm epoch tag v1";

/// A node's key, as its group knows it.
pub type NodeKey = [u8; 32];

/// Signs in a node's name.
type Sign = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// A node's public key, and its way to sign.
#[derive(Clone)]
pub struct GroupSigner {
    key: NodeKey,
    sign: Sign,
}

impl GroupSigner {
    /// A node whose Ed25519 key is `key`, and that signs by `sign`.
    pub fn new(key: NodeKey, sign: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self { key, sign: Arc::new(sign) }
    }

    /// The public key.
    pub fn key(&self) -> NodeKey {
        self.key
    }

    fn credential(&self) -> CredentialWithKey {
        let credential = BasicCredential::new(self.key.to_vec()).into();
        CredentialWithKey { credential, signature_key: SignaturePublicKey::from(&self.key[..]) }
    }
}

impl Signer for GroupSigner {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok((self.sign)(payload))
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// Why a message of the group is refused. The group is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// It cannot be read, is too long, or a signature or a proof in it is wrong.
    #[error("a group message that is malformed or forged")]
    Malformed,
    /// It was made by somebody other than the task manager, or for somebody else.
    #[error("a group message that is not the task manager's")]
    NotTheManager,
    /// A key package that is not the joiner's own.
    #[error("a key package that is not its sender's")]
    NotTheJoiner,
    /// It belongs to an epoch other than the present one: one before has not arrived, or this one has.
    #[error("a group message of another epoch")]
    OtherEpoch,
    /// The node is not in the group.
    #[error("not a member of the group")]
    NotAMember,
    /// More than [`GROUP_MEMBERS_MAX`] members.
    #[error("more than {GROUP_MEMBERS_MAX} members")]
    TooMany,
}

/// Who wants to join: holds what the welcome is sealed for. Good for one welcome.
pub struct Applicant {
    provider: OpenMlsRustCrypto,
    key_package: Vec<u8>,
}

/// A change that the manager has made: what to send to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupChange {
    /// For those who were in before and still are.
    pub commit: Vec<u8>,
    /// For those who are new; `None` if nobody is.
    pub welcome: Option<Vec<u8>>,
}

/// One member's view of the group.
pub struct Group {
    provider: OpenMlsRustCrypto,
    mls: MlsGroup,
}

impl Applicant {
    /// A joiner with a fresh leaf.
    pub fn new(signer: &GroupSigner) -> Self {
        let provider = OpenMlsRustCrypto::default();
        let bundle = KeyPackage::builder()
            .build(SUITE, &provider, signer, signer.credential())
            .expect("the suite is built in, and the store is in memory");
        let key_package = bundle.key_package().tls_serialize_detached();
        Self { provider, key_package: key_package.expect("into memory") }
    }

    /// What the manager needs.
    pub fn key_package(&self) -> &[u8] {
        &self.key_package
    }

    /// Takes the welcome of a group of that id that `manager` manages.
    ///
    /// # Errors
    /// It is malformed, for somebody else, of another group or not the manager's.
    pub fn join(self, welcome: &[u8], id: &[u8], manager: &NodeKey) -> Result<Group, GroupError> {
        let welcome: Welcome = match read(welcome)? {
            MlsMessageBodyIn::Welcome(welcome) => welcome,
            _ => return Err(GroupError::Malformed),
        };
        let config = MlsGroupJoinConfig::builder().use_ratchet_tree_extension(true).build();
        let staged = StagedWelcome::new_from_welcome(&self.provider, &config, welcome, None)
            .map_err(|_| GroupError::Malformed)?;
        let sender = staged.welcome_sender().map_err(|_| GroupError::Malformed)?;
        if sender.signature_key().as_slice() != manager {
            return Err(GroupError::NotTheManager);
        }
        let mls = staged.into_group(&self.provider).map_err(|_| GroupError::Malformed)?;
        let group = Group { provider: self.provider, mls };
        if group.mls.group_id().as_slice() != id {
            return Err(GroupError::NotTheManager);
        }
        if group.mls.members().count() > GROUP_MEMBERS_MAX {
            return Err(GroupError::TooMany);
        }
        Ok(group)
    }
}

impl Group {
    /// A group of that id with one member, its manager.
    pub fn create(id: &[u8], signer: &GroupSigner) -> Self {
        let provider = OpenMlsRustCrypto::default();
        let config =
            MlsGroupCreateConfig::builder().ciphersuite(SUITE).use_ratchet_tree_extension(true).build();
        let id = GroupId::from_slice(id);
        let mls = MlsGroup::new_with_group_id(&provider, signer, &config, id, signer.credential())
            .expect("the suite is built in, and the store is in memory");
        Self { provider, mls }
    }

    /// Lets nodes in, each with its key package, and others out, in one new epoch of which this node is the manager. A node
    /// that is in already and comes with a key package (it restarted) gets a new leaf. With nobody at all, keys change.
    ///
    /// # Errors
    /// A key package that is not its node's, somebody to let out who is not in, or too many members.
    pub fn change(
        &mut self,
        signer: &GroupSigner,
        joining: &[(NodeKey, &[u8])],
        leaving: &[NodeKey],
    ) -> Result<GroupChange, GroupError> {
        let mut adds = Vec::with_capacity(joining.len());
        let mut removals = Vec::with_capacity(leaving.len());
        for (node, key_package) in joining {
            adds.push(self.read_key_package(node, key_package)?);
            removals.extend(self.leaf_of(node));
        }
        for node in leaving {
            removals.push(self.leaf_of(node).ok_or(GroupError::NotAMember)?);
        }
        removals.sort_unstable();
        removals.dedup();
        if removals.contains(&self.mls.own_leaf_index()) {
            return Err(GroupError::NotAMember);
        }
        if self.mls.members().count() + adds.len() - removals.len() > GROUP_MEMBERS_MAX {
            return Err(GroupError::TooMany);
        }
        let provider = &self.provider;
        let bundle = self
            .mls
            .commit_builder()
            // Fresh secrets for all who stay, when somebody leaves or there is nothing else to do: they take a hundred bytes
            // a member. Who comes in learns nothing of the epochs before without them (RFC 9420, section 12.4).
            .force_self_update(adds.is_empty())
            .propose_removals(removals)
            .propose_adds(adds)
            .load_psks(provider.storage())
            .map_err(|_| GroupError::Malformed)?
            .build(provider.rand(), provider.crypto(), signer, |_| true)
            .map_err(|_| GroupError::Malformed)?
            .stage_commit(provider)
            .map_err(|_| GroupError::Malformed)?;
        let commit = bundle.commit().tls_serialize_detached().expect("into memory");
        let welcome =
            bundle.to_welcome_msg().map(|welcome| welcome.tls_serialize_detached().expect("into memory"));
        self.mls.merge_pending_commit(provider).expect("just staged, and the store is in memory");
        Ok(GroupChange { commit, welcome })
    }

    /// Takes a commit of the manager's. `false` if this node is out of the group with it, which stays as it was for what is
    /// still under way.
    ///
    /// # Errors
    /// It is malformed, forged, of another epoch, or somebody else's.
    pub fn follow(&mut self, commit: &[u8], manager: &NodeKey) -> Result<bool, GroupError> {
        let message = match read(commit)? {
            MlsMessageBodyIn::PrivateMessage(message) => openmls::prelude::ProtocolMessage::from(message),
            _ => return Err(GroupError::Malformed),
        };
        if message.group_id() != self.mls.group_id() {
            return Err(GroupError::NotTheManager);
        }
        if message.epoch() != self.mls.epoch() {
            return Err(GroupError::OtherEpoch);
        }
        let processed =
            self.mls.process_message(&self.provider, message).map_err(|_| GroupError::Malformed)?;
        let &Sender::Member(sender) = processed.sender() else { return Err(GroupError::NotTheManager) };
        let is_manager = self.mls.member_at(sender).is_some_and(|member| member.signature_key == manager);
        if !is_manager {
            return Err(GroupError::NotTheManager);
        }
        let ProcessedMessageContent::StagedCommitMessage(staged) = processed.into_content() else {
            return Err(GroupError::Malformed);
        };
        if staged.self_removed() {
            return Ok(false);
        }
        self.mls.merge_staged_commit(&self.provider, *staged).map_err(|_| GroupError::Malformed)?;
        Ok(true)
    }

    /// The secret of this epoch, which the senders' keys are derived from.
    pub fn media_secret(&self) -> [u8; 32] {
        self.export(MEDIA_LABEL)
    }

    /// Tells this epoch's keys from those of others on the wire; by chance the same as another's once in 255.
    /// Never 0, so that frames of all epochs are of one size.
    pub fn tag(&self) -> u8 {
        self.export(TAG_LABEL)[0].max(1)
    }

    /// The same at all members of this epoch and at nobody else: shows who tells it which epoch one has come to.
    pub fn mark(&self) -> [u8; 16] {
        let mark = self.export(MARK_LABEL);
        std::array::from_fn(|at| mark[at])
    }

    /// Whether `node` can be let in by this key package.
    ///
    /// # Errors
    /// It is malformed, out of date, or not its node's.
    pub fn check(&self, node: &NodeKey, key_package: &[u8]) -> Result<(), GroupError> {
        self.read_key_package(node, key_package).map(drop)
    }

    /// Counts the changes.
    pub fn epoch(&self) -> u64 {
        self.mls.epoch().as_u64()
    }

    /// The members' keys, in the order of their leaves.
    pub fn members(&self) -> Vec<NodeKey> {
        self.mls.members().filter_map(|member| member.signature_key.try_into().ok()).collect()
    }

    /// Words for people to compare: the same at all members of an epoch and at nobody else, whoever sits between them
    /// (RFC 9420, section 8.7, the epoch authenticator). 64 bits of it, as four pairs of words that can be said aloud
    /// (proquints, Wilkerson 2009).
    pub fn phrase(&self) -> String {
        let authenticator = self.mls.epoch_authenticator().as_slice();
        let words = authenticator.chunks_exact(2).take(PHRASE_WORDS).map(|pair| proquint([pair[0], pair[1]]));
        words.collect::<Vec<_>>().join(" ")
    }

    fn export(&self, label: &str) -> [u8; 32] {
        let secret = self.mls.export_secret(self.provider.crypto(), label, &[], 32);
        let secret = secret.ok().and_then(|secret| secret.try_into().ok());
        secret.expect("an active group exports secrets of one hash's length")
    }

    fn leaf_of(&self, node: &NodeKey) -> Option<LeafNodeIndex> {
        self.mls.members().find(|member| member.signature_key == node).map(|member| member.index)
    }

    fn read_key_package(&self, node: &NodeKey, bytes: &[u8]) -> Result<KeyPackage, GroupError> {
        if bytes.len() > KEY_PACKAGE_MAX {
            return Err(GroupError::Malformed);
        }
        let key_package = KeyPackageIn::tls_deserialize(&mut &*bytes)
            .map_err(|_| GroupError::Malformed)?
            .validate(self.provider.crypto(), ProtocolVersion::Mls10)
            .map_err(|_| GroupError::Malformed)?;
        let leaf = key_package.leaf_node();
        let is_own =
            leaf.signature_key().as_slice() == node && leaf.credential().serialized_content() == node;
        if key_package.ciphersuite() != SUITE || !is_own {
            return Err(GroupError::NotTheJoiner);
        }
        Ok(key_package)
    }
}

/// Reads a message of bounded length.
fn read(bytes: &[u8]) -> Result<MlsMessageBodyIn, GroupError> {
    if bytes.len() > GROUP_MESSAGE_MAX {
        return Err(GroupError::Malformed);
    }
    MlsMessageIn::tls_deserialize(&mut &*bytes).map(MlsMessageIn::extract).map_err(|_| GroupError::Malformed)
}

/// Sixteen bits as a word: consonant, vowel, consonant, vowel, consonant.
fn proquint(pair: [u8; 2]) -> String {
    const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
    const VOWELS: &[u8; 4] = b"aiou";
    let bits = usize::from(u16::from_be_bytes(pair));
    let consonant = |shift: u32| char::from(CONSONANTS[bits >> shift & 15]);
    let vowel = |shift: u32| char::from(VOWELS[bits >> shift & 3]);
    [consonant(12), vowel(10), consonant(6), vowel(4), consonant(0)].iter().collect()
}

/// Words of a phrase.
const PHRASE_WORDS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    const ID: &[u8] = b"a session";

    fn signer(seed: u8) -> GroupSigner {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let key = pair.public_key().as_ref().try_into().unwrap();
        GroupSigner::new(key, move |message| pair.sign(message).as_ref().to_vec())
    }

    fn welcome(manager: &mut Group, by: &GroupSigner, joiner: &GroupSigner) -> (Group, GroupChange) {
        let applicant = Applicant::new(joiner);
        let change = manager.change(by, &[(joiner.key, applicant.key_package())], &[]).unwrap();
        (applicant.join(change.welcome.as_ref().unwrap(), ID, &by.key).unwrap(), change)
    }

    fn agree(groups: &[&Group]) -> bool {
        let view = |group: &Group| {
            (group.epoch(), group.media_secret(), group.tag(), group.phrase(), group.members())
        };
        groups.windows(2).all(|pair| view(pair[0]) == view(pair[1]))
    }

    #[test]
    fn every_join_and_leave_changes_the_secret_and_the_phrase() {
        let [host, ann, bob] = [1, 2, 3].map(signer);
        let mut manager = Group::create(ID, &host);
        let alone = (manager.media_secret(), manager.phrase());
        let (mut anns, _) = welcome(&mut manager, &host, &ann);
        assert!(agree(&[&manager, &anns]));
        let two = (manager.media_secret(), manager.phrase());
        assert!(two.0 != alone.0 && two.1 != alone.1);
        let (mut bobs, change) = welcome(&mut manager, &host, &bob);
        assert_eq!(anns.follow(&change.commit, &host.key), Ok(true));
        assert!(agree(&[&manager, &anns, &bobs]));
        assert_eq!(manager.members(), [host.key, ann.key, bob.key]);
        let three = manager.media_secret();
        // Ann is thrown out: she learns nothing of what comes after.
        let change = manager.change(&host, &[], &[ann.key]).unwrap();
        assert_eq!(change.welcome, None);
        assert_eq!(bobs.follow(&change.commit, &host.key), Ok(true));
        let before = anns.media_secret();
        assert_eq!(anns.follow(&change.commit, &host.key), Ok(false));
        assert_eq!(anns.media_secret(), before, "who is out keeps what it had, and no more");
        assert!(agree(&[&manager, &bobs]));
        assert_ne!(manager.media_secret(), three);
        assert_eq!(manager.phrase().split(' ').count(), 4);
        // Bob restarts: a new leaf, and his old one knows nothing more.
        let (again, change) = welcome(&mut manager, &host, &bob);
        assert_eq!(bobs.follow(&change.commit, &host.key), Ok(false));
        assert!(agree(&[&manager, &again]));
        assert_eq!(manager.members().len(), 2);
    }

    #[test]
    fn only_the_manager_changes_the_group_and_only_in_order() {
        let [host, ann, bob, eve] = [1, 2, 3, 4].map(signer);
        let mut manager = Group::create(ID, &host);
        let (mut anns, _) = welcome(&mut manager, &host, &ann);
        let (mut bobs, change) = welcome(&mut manager, &host, &bob);
        anns.follow(&change.commit, &host.key).unwrap();
        let forged = anns.change(&ann, &[], &[bob.key]).unwrap();
        assert_eq!(bobs.follow(&forged.commit, &host.key), Err(GroupError::NotTheManager));
        let first = manager.change(&host, &[], &[]).unwrap();
        let second = manager.change(&host, &[], &[]).unwrap();
        assert_eq!(bobs.follow(&second.commit, &host.key), Err(GroupError::OtherEpoch));
        assert_eq!(bobs.follow(&first.commit, &host.key), Ok(true));
        assert_eq!(bobs.follow(&first.commit, &host.key), Err(GroupError::OtherEpoch), "replayed");
        assert_eq!(bobs.follow(&second.commit, &host.key), Ok(true));
        assert!(agree(&[&manager, &bobs]));
        // A key package under another's name; a welcome of somebody else's group.
        let applicant = Applicant::new(&eve);
        let stolen = manager.change(&host, &[(ann.key, applicant.key_package())], &[]);
        assert_eq!(stolen, Err(GroupError::NotTheJoiner));
        let mut other = Group::create(ID, &eve);
        let applicant = Applicant::new(&bob);
        let lure = other.change(&eve, &[(bob.key, applicant.key_package())], &[]).unwrap();
        let joined = applicant.join(&lure.welcome.unwrap(), ID, &host.key);
        assert_eq!(joined.err(), Some(GroupError::NotTheManager));
        assert_eq!(manager.change(&host, &[], &[eve.key]), Err(GroupError::NotAMember));
        assert_eq!(manager.change(&host, &[], &[host.key]), Err(GroupError::NotAMember));
    }

    #[test]
    fn broken_messages_are_refused_and_change_nothing() {
        let [host, ann] = [1, 2].map(signer);
        let mut manager = Group::create(ID, &host);
        let (mut anns, _) = welcome(&mut manager, &host, &ann);
        let change = manager.change(&host, &[], &[]).unwrap();
        let before = anns.media_secret();
        for at in (0..change.commit.len()).step_by(7) {
            let mut bad = change.commit.clone();
            bad[at] ^= 0x21;
            assert!(anns.follow(&bad, &host.key).is_err(), "byte {at}");
            assert!(anns.follow(&change.commit[..at], &host.key).is_err(), "{at} bytes");
        }
        assert!(anns.follow(&vec![0; GROUP_MESSAGE_MAX + 1], &host.key).is_err());
        assert_eq!(anns.media_secret(), before);
        let applicant = Applicant::new(&ann);
        for at in (0..applicant.key_package().len()).step_by(11) {
            let mut bad = applicant.key_package().to_vec();
            bad[at] ^= 0x21;
            assert!(manager.change(&host, &[(ann.key, &bad)], &[]).is_err(), "byte {at}");
        }
        assert!(applicant.join(&change.commit, ID, &host.key).is_err());
    }

    #[test]
    fn words_can_be_said() {
        assert_eq!((proquint([0x7f, 0]), proquint([0, 1])), ("lusab".to_owned(), "babad".to_owned()));
    }
}
