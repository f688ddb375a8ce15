// AF_UNIX sockets: between threads of the one process there is. Streams are two channels; datagrams lie in the mailbox
// of who is to read them. Names are in a table of the process, not in the tree of files: a name goes with its socket.
#include <sys/ioctl.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>

#include "posix/channel.hpp"
#include "posix/socket.hpp"

namespace ringlet::posix {

namespace {

class UnixSocket;

struct Letter : ListNode<> {
    SocketAddress from;
    usize size = 0;
    std::unique_ptr<std::byte[]> bytes;
};

/// What was sent to a socket. Outlives it as long as somebody is connected to it.
class Mailbox : public Counted {
public:
    static constexpr usize kMostLetters = 64;
    static constexpr usize kMostBytes = 128 * 1024;

    explicit Mailbox(Description& owner) { state_.lock()->owner = &owner; }
    ~Mailbox() override { close(); }
    /// Its socket is gone.
    void close() {
        auto s = state_.lock();
        s->owner = nullptr;
        while (Letter* letter = s->letters.pop_front()) delete letter;
        if (s->sender != nullptr) s->sender->stir();
    }
    /// Who sends here as a connected socket, and wants to know of room.
    void set_sender(Description* sender) { state_.lock()->sender = sender; }

    Outcome<usize> put(Bytes bytes, const SocketAddress& from) {
        if (bytes.size() > kMostBytes) return refuse(EMSGSIZE);
        std::unique_ptr<Letter> letter(new (std::nothrow) Letter);
        if (letter) letter->bytes.reset(new (std::nothrow) std::byte[std::max<usize>(bytes.size(), 1)]);
        if (!letter || !letter->bytes) return refuse(ENOMEM);
        std::copy(bytes.begin(), bytes.end(), letter->bytes.get());
        letter->size = bytes.size();
        letter->from = from;
        auto s = state_.lock();
        if (s->owner == nullptr) return refuse(ECONNREFUSED);
        if (s->count == kMostLetters || s->bytes + bytes.size() > kMostBytes) return refuse(EAGAIN);
        s->letters.push_back(*letter.release());
        ++s->count;
        s->bytes += bytes.size();
        s->owner->stir();
        return bytes.size();
    }

    Outcome<Socket::Received> take(MutableBytes to, bool leave_it) {
        std::unique_ptr<Letter> done;
        auto s = state_.lock();
        if (s->letters.empty()) return refuse(EAGAIN);
        Letter& letter = s->letters.front();
        std::copy_n(letter.bytes.get(), std::min(to.size(), letter.size), to.data());
        const Socket::Received r{letter.size, letter.from};
        if (leave_it) return r;
        s->letters.remove(letter);
        done.reset(&letter);
        --s->count;
        s->bytes -= r.size;
        if (s->sender != nullptr) s->sender->stir();
        return r;
    }

    usize next_size() {
        auto s = state_.lock();
        return s->letters.empty() ? 0 : s->letters.front().size;
    }
    bool has_letters() { return !state_.lock()->letters.empty(); }
    bool has_room() {
        auto s = state_.lock();
        return s->owner == nullptr || (s->count < kMostLetters && s->bytes < kMostBytes);
    }

private:
    struct State {
        List<Letter> letters;
        usize count = 0, bytes = 0;
        Description* owner = nullptr;
        Description* sender = nullptr;
    };
    kernel::Guarded<State, kernel::Rank::service, kernel::Mutex> state_;
};

/// What hangs on a connected stream.
struct Ends {
    RefTo<Channel> in, out;
};

struct WaitingTag;
struct NameTag;

class UnixSocket final : public Socket, public ListNode<NameTag>, public ListNode<WaitingTag> {
public:
    UnixSocket(int type, int flags) : Socket(AF_UNIX, type, flags) {}
    ~UnixSocket() override;

    Outcome<> bind(const SocketAddress& address) override;
    Outcome<> connect(const SocketAddress& to) override;
    Outcome<> listen(int backlog) override;
    Outcome<Ref> accept(SocketAddress& peer, int flags) override;
    Outcome<usize> send(Bytes from, int flags, const SocketAddress* to) override;
    Outcome<Received> receive(MutableBytes to, int flags) override;
    Outcome<> shut_down(int how) override;
    Outcome<> local_name(SocketAddress& out) override;
    Outcome<> peer_name(SocketAddress& out) override;
    Outcome<int> option(int level, int name) override;
    Outcome<> set_option(int level, int name, int value) override;
    Outcome<int> control(unsigned long request, void* argument) override;
    short ready() override;

    Outcome<> open_mailbox() {
        mailbox_ = RefTo<Mailbox>(new (std::nothrow) Mailbox(*this));
        if (!mailbox_) return refuse(ENOMEM);
        return {};
    }
    const SocketAddress& name() const { return name_; }
    /// One more use, unless it is at its end.
    bool keep() { return retain_if_used(); }
    static Outcome<> join_both(UnixSocket& a, UnixSocket& b);
    void join_mailbox(UnixSocket& peer);

private:
    bool is_stream() const { return type() == SOCK_STREAM; }
    Outcome<> connect_stream(const SocketAddress& to);
    Outcome<> connect_datagrams(const SocketAddress& to);
    Outcome<usize> send_stream(Bytes from, int flags);
    Outcome<Received> receive_stream(MutableBytes to, int flags);

    // Under `names`.
    SocketAddress name_{.size = offsetof(sockaddr_un, sun_path)};
    SocketAddress peer_name_{.size = offsetof(sockaddr_un, sun_path)};
    bool is_named_ = false;
    int backlog_ = 0;  ///< 0: does not listen
    int waiting_count_ = 0;
    List<UnixSocket, WaitingTag> waiting_;  ///< connections for accept(), each with one use

    std::atomic<bool> connected_ = false;
    Ends ends_;  ///< set once, before connected_
    bool no_more_in_ = false;
    RefTo<Mailbox> mailbox_, peer_mailbox_;
};

struct Names {
    List<UnixSocket, NameTag> all;
};
constinit kernel::Guarded<Names, kernel::Rank::application, kernel::Mutex> names;

bool same(const SocketAddress& a, const SocketAddress& b) {
    const auto text = [](const SocketAddress& s) {
        const auto* un = reinterpret_cast<const sockaddr_un*>(&s.bytes);
        const usize n = s.size - offsetof(sockaddr_un, sun_path);
        return std::string_view(un->sun_path, un->sun_path[0] == '\0' ? n : strnlen(un->sun_path, n));
    };
    return text(a) == text(b);
}

Outcome<> check(const SocketAddress& a) {
    if (a.family() != AF_UNIX) return refuse(a.size < sizeof(sa_family_t) ? EINVAL : EAFNOSUPPORT);
    if (a.size <= offsetof(sockaddr_un, sun_path) || a.size > sizeof(sockaddr_un)) return refuse(EINVAL);
    return {};
}

/// Who has the name, kept open. ENOENT: nobody; EPROTOTYPE: a socket of the other type.
Outcome<RefTo<UnixSocket>> find(Names& table, const SocketAddress& name, int type) {
    for (UnixSocket& s : table.all) {
        if (!same(s.name(), name)) continue;
        if (s.type() != type) return refuse(EPROTOTYPE);
        if (s.keep()) return RefTo<UnixSocket>(&s);
    }
    return refuse(ENOENT);
}

UnixSocket::~UnixSocket() {
    List<UnixSocket, WaitingTag> left;
    {
        auto held = names.lock();
        if (is_named_) held->all.remove(*this);
        while (UnixSocket* s = waiting_.pop_front()) left.push_back(*s);
    }
    while (UnixSocket* s = left.pop_front()) s->release();
    if (ends_.in) ends_.in->end_of_reader();
    if (ends_.out) ends_.out->end_of_writer();
    if (peer_mailbox_) peer_mailbox_->set_sender(nullptr);
    if (mailbox_) mailbox_->close();
}

Outcome<> UnixSocket::bind(const SocketAddress& address) {
    TRY_POSIX(check(address));
    auto held = names.lock();
    if (is_named_) return refuse(EINVAL);
    for (const UnixSocket& s : held->all)
        if (same(s.name_, address)) return refuse(EADDRINUSE);
    name_ = address;
    is_named_ = true;
    held->all.push_back(*this);
    return {};
}

Outcome<> UnixSocket::listen(int backlog) {
    if (!is_stream()) return refuse(EOPNOTSUPP);
    auto held = names.lock();
    if (!is_named_ || connected_) return refuse(EINVAL);
    backlog_ = std::clamp(backlog, 1, SOMAXCONN);
    return {};
}

Outcome<> UnixSocket::join_both(UnixSocket& a, UnixSocket& b) {
    RefTo<Channel> there(new (std::nothrow) Channel), back(new (std::nothrow) Channel);
    if (!there || !back) return refuse(ENOMEM);
    there->begin(b, a);
    back->begin(a, b);
    a.ends_ = {.in = back, .out = there};
    b.ends_ = {.in = std::move(there), .out = std::move(back)};
    a.connected_ = b.connected_ = true;
    return {};
}

void UnixSocket::join_mailbox(UnixSocket& peer) {
    if (peer_mailbox_) peer_mailbox_->set_sender(nullptr);
    peer_mailbox_ = peer.mailbox_;
    peer_mailbox_->set_sender(this);
    connected_ = true;
}

Outcome<> UnixSocket::connect(const SocketAddress& to) {
    if (!is_stream() && to.family() == AF_UNSPEC) {
        if (peer_mailbox_) peer_mailbox_->set_sender(nullptr);
        peer_mailbox_ = {};
        connected_ = false;
        return {};
    }
    TRY_POSIX(check(to));
    return is_stream() ? connect_stream(to) : connect_datagrams(to);
}

Outcome<> UnixSocket::connect_datagrams(const SocketAddress& to) {
    const auto peer = TRY_POSIX(find(*names.lock(), to, SOCK_DGRAM));
    join_mailbox(*peer);
    peer_name_ = to;
    return {};
}

Outcome<> UnixSocket::connect_stream(const SocketAddress& to) {
    if (connected_) return refuse(EISCONN);
    if (backlog_ != 0) return refuse(EINVAL);
    RefTo<UnixSocket> far(new (std::nothrow) UnixSocket(SOCK_STREAM, 0));
    if (!far) return refuse(ENOMEM);
    for (;;) {
        RefTo<UnixSocket> listener;
        u32 seen;
        {
            auto held = names.lock();
            listener = TRY_POSIX(find(*held, to, SOCK_STREAM));
            if (listener->backlog_ == 0) return refuse(ECONNREFUSED);
            seen = listener->changes();
            if (listener->waiting_count_ < listener->backlog_) {
                TRY_POSIX(join_both(*this, *far));
                far->name_ = listener->name_;
                far->peer_name_ = name_;
                peer_name_ = listener->name_;
                far->retain();
                listener->waiting_.push_back(*far);
                ++listener->waiting_count_;
                listener->stir();
                return {};
            }
        }
        if (!blocks()) return refuse(EAGAIN);
        TRY_POSIX(listener->await_change(seen));
    }
}

Outcome<Ref> UnixSocket::accept(SocketAddress& peer, int flags) {
    if (!is_stream()) return refuse(EOPNOTSUPP);
    if (backlog_ == 0) return refuse(EINVAL);
    return retry(0, receive_timeout, [&]() -> Outcome<Ref> {
        UnixSocket* s;
        {
            auto held = names.lock();
            s = waiting_.pop_front();
            if (s == nullptr) return refuse(EAGAIN);
            --waiting_count_;
            peer = s->peer_name_;
        }
        stir();  // for who waits to connect
        s->set_flags(s->flags() | flags);
        return Ref(s);
    });
}

Outcome<usize> UnixSocket::send_stream(Bytes from, int flags) {
    if (!connected_) return refuse(backlog_ != 0 ? EPIPE : ENOTCONN);
    usize done = 0;
    while (done < from.size()) {
        const auto n = retry(flags, send_timeout, [&] { return ends_.out->write(from.subspan(done)); });
        if (!n) return done != 0 ? Outcome<usize>(done) : n;
        done += *n;
    }
    return done;
}

Outcome<usize> UnixSocket::send(Bytes from, int flags, const SocketAddress* to) {
    if ((flags & MSG_OOB) != 0) return refuse(EOPNOTSUPP);
    if (is_stream()) return to != nullptr ? refuse(connected_ ? EISCONN : EOPNOTSUPP) : send_stream(from, flags);
    RefTo<Mailbox> box = peer_mailbox_;
    if (to != nullptr) {
        TRY_POSIX(check(*to));
        box = TRY_POSIX(find(*names.lock(), *to, SOCK_DGRAM))->mailbox_;
    }
    if (!box) return refuse(ENOTCONN);
    return retry(to != nullptr ? MSG_DONTWAIT : flags, send_timeout, [&] { return box->put(from, name_); });
}

Outcome<Socket::Received> UnixSocket::receive_stream(MutableBytes to, int flags) {
    if (!connected_) return refuse(backlog_ != 0 ? EINVAL : ENOTCONN);
    if (no_more_in_) return Received{};
    const auto how = (flags & MSG_PEEK) != 0 ? Channel::Take::peek : Channel::Take::out;
    usize done = 0;
    do {
        const auto n = retry(flags, receive_timeout, [&] { return ends_.in->read(to.subspan(done), how); });
        if (!n && done == 0) return refuse(n.error());
        if (!n || *n == 0) break;
        done += *n;
    } while ((flags & MSG_WAITALL) != 0 && how == Channel::Take::out && done < to.size());
    return Received{.size = done, .from = {}};
}

Outcome<Socket::Received> UnixSocket::receive(MutableBytes to, int flags) {
    if ((flags & MSG_OOB) != 0) return refuse(EOPNOTSUPP);
    if (is_stream()) return receive_stream(to, flags);
    if (no_more_in_) return Received{};
    return retry(flags, receive_timeout, [&] { return mailbox_->take(to, (flags & MSG_PEEK) != 0); });
}

Outcome<> UnixSocket::shut_down(int how) {
    if (!connected_) return refuse(ENOTCONN);
    if (how != SHUT_WR) {
        no_more_in_ = true;
        if (ends_.in) ends_.in->end_of_reader();
    }
    if (how != SHUT_RD && ends_.out) ends_.out->end_of_writer();
    stir();
    return {};
}

Outcome<> UnixSocket::local_name(SocketAddress& out) {
    auto held = names.lock();
    out = name_;
    out.bytes.ss_family = AF_UNIX;
    return {};
}

Outcome<> UnixSocket::peer_name(SocketAddress& out) {
    if (!connected_) return refuse(ENOTCONN);
    auto held = names.lock();
    out = peer_name_;
    out.bytes.ss_family = AF_UNIX;
    return {};
}

Outcome<int> UnixSocket::option(int level, int name) {
    if (level != SOL_SOCKET) return refuse(ENOPROTOOPT);
    switch (name) {
    case SO_ACCEPTCONN:
        return backlog_ != 0 ? 1 : 0;
    case SO_ERROR:
    case SO_PROTOCOL:
    case SO_REUSEADDR:
    case SO_KEEPALIVE:
    case SO_BROADCAST:
        return 0;
    case SO_RCVBUF:
    case SO_SNDBUF:
        return static_cast<int>(is_stream() ? Channel::kMost : Mailbox::kMostBytes);
    default:
        return refuse(ENOPROTOOPT);
    }
}

Outcome<> UnixSocket::set_option(int level, int name, int) {
    // Of no effect between threads, and harmless: what is there already stays.
    if (level == SOL_SOCKET && (name == SO_REUSEADDR || name == SO_SNDBUF || name == SO_RCVBUF || name == SO_KEEPALIVE))
        return {};
    return refuse(ENOPROTOOPT);
}

Outcome<int> UnixSocket::control(unsigned long request, void* argument) {
    if (request != FIONREAD) return refuse(ENOTTY);
    const usize n = !is_stream() ? mailbox_->next_size() : connected_ ? ends_.in->size() : 0;
    *static_cast<int*>(argument) = static_cast<int>(n);
    return 0;
}

short UnixSocket::ready() {
    constexpr short kIn = POLLIN | POLLRDNORM, kOut = POLLOUT | POLLWRNORM;
    if (!is_stream()) {
        const bool room = !peer_mailbox_ || peer_mailbox_->has_room();
        return static_cast<short>((mailbox_->has_letters() || no_more_in_ ? kIn : 0) | (room ? kOut : 0));
    }
    if (backlog_ != 0) {
        auto held = names.lock();
        return waiting_.empty() ? 0 : kIn;
    }
    if (!connected_) return kOut | POLLHUP;
    const short in = ends_.in->readable();
    const short out = ends_.out->writable();
    const bool ended = (in & POLLHUP) != 0 || no_more_in_;  // nothing more will come
    int bits = (in & kIn) | (ended ? kIn | POLLRDHUP : 0) | (out & kOut);
    if (ended && ((out & POLLERR) != 0 || ends_.out->is_ended())) bits |= POLLHUP;
    return static_cast<short>(bits);
}

Outcome<RefTo<UnixSocket>> make(int type, int flags) {
    if (type != SOCK_STREAM && type != SOCK_DGRAM) return refuse(EPROTONOSUPPORT);
    RefTo<UnixSocket> made(new (std::nothrow) UnixSocket(type, flags));
    if (!made) return refuse(ENOMEM);
    if (type == SOCK_DGRAM) TRY_POSIX(made->open_mailbox());
    return made;
}

Ref as_description(const RefTo<UnixSocket>& s) {
    s->retain();
    return Ref(s.get());
}

}  // namespace

Outcome<Ref> make_unix_socket(int type, int flags) {
    return as_description(TRY_POSIX(make(type, flags)));
}

Outcome<> make_unix_pair(int type, int flags, Ref& one, Ref& other) {
    const auto a = TRY_POSIX(make(type, flags));
    const auto b = TRY_POSIX(make(type, flags));
    if (type == SOCK_STREAM) {
        TRY_POSIX(UnixSocket::join_both(*a, *b));
    } else {
        a->join_mailbox(*b);
        b->join_mailbox(*a);
    }
    one = as_description(a);
    other = as_description(b);
    return {};
}

}  // namespace ringlet::posix
