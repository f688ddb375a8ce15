// epoll: entries on the lists of what they watch. A change puts an entry into the queue of its epoll; epoll_wait() asks
// the descriptions of the queued ones and drops those that are not ready after all. Level-triggering is nothing but
// putting what was reported back at the end: a wait costs what is ready, not what is watched.
#include <limits.h>
#include <sys/epoll.h>

#include <new>
#include <span>

#include "posix/descriptor_table.hpp"
#include "posix/signal_mask.hpp"
#include "posix/thread.hpp"
#include "posix/time_conversion.hpp"

namespace ringlet::posix {

namespace {

struct QueueTag;
struct MemberTag;

/// The pair of a descriptor and what it referred to. All of it under `watching`; who has given that up finds it again
/// by its id.
struct Entry final : Watcher, ListNode<QueueTag>, ListNode<MemberTag> {
    Entry(Epoll& e, int d, const epoll_event& what) : epoll(e), fd(d), event(what) {}
    void stirred(Watching::Access& held) override;
    void abandoned(Watching::Access& held) override;
    Watcher* epoll_entry() override { return this; }
    bool is_queued() const { return ListNode<QueueTag>::linked(); }

    Epoll& epoll;
    int fd;
    epoll_event event;
    u64 id = 0;     ///< no other entry of the epoll has or will have it
    u64 round = 0;  ///< the collection that reported it last
    Description* what = nullptr;
};

constexpr u32 kModes = EPOLLET | EPOLLONESHOT;
constexpr u32 kAlways = EPOLLERR | EPOLLHUP;

}  // namespace

class Epoll final : public Description {
public:
    Epoll() : Description(O_RDWR) {}
    ~Epoll() override;
    Epoll* as_epoll() override { return this; }
    short ready() override;

    Outcome<> add(int fd, Description& what, const epoll_event& event);
    Outcome<> modify(int fd, Description& what, const epoll_event& event);
    Outcome<> remove(int fd, Description& what);
    Outcome<int> wait(std::span<epoll_event> out, Instant deadline);

    void queue(Entry& entry, Watching::Access& held) {
        if (!entry.is_queued()) queue_.push_back(entry);
        stir(held);
    }
    /// It is no longer ours; the caller deletes it.
    void forget(Entry& entry, Watching::Access&) {
        if (entry.is_queued()) List<Entry, QueueTag>::remove(entry);
        List<Entry, MemberTag>::remove(entry);
    }

private:
    enum class Purpose : u8 { report, peek };
    usize collect(std::span<epoll_event> out, Purpose purpose);
    Entry* find(int fd, Description& what, Watching::Access& held);
    void put_back(u64 id, Description& what, u64 round, Purpose purpose);

    List<Entry, QueueTag> queue_;
    List<Entry, MemberTag> members_;
    u64 last_id_ = 0, last_round_ = 0;
    bool has_epolls_ = false;  ///< among what it watches
};

namespace {

void Entry::stirred(Watching::Access& held) {
    if ((event.events & ~kModes) != 0) epoll.queue(*this, held);
}

void Entry::abandoned(Watching::Access& held) {
    epoll.forget(*this, held);
}

}  // namespace

Epoll::~Epoll() {
    for (;;) {
        Entry* entry;
        {
            auto held = watching.lock();
            if (members_.empty()) return;
            entry = &members_.front();
            forget(*entry, held);
            List<Watcher>::remove(*entry);
        }
        delete entry;
    }
}

Entry* Epoll::find(int fd, Description& what, Watching::Access& held) {
    for (Watcher& watcher : what.watchers(held)) {
        Entry* entry = static_cast<Entry*>(watcher.epoll_entry());
        if (entry != nullptr && &entry->epoll == this && entry->fd == fd) return entry;
    }
    return nullptr;
}

Outcome<> Epoll::add(int fd, Description& what, const epoll_event& event) {
    if (what.as_file() != nullptr || what.as_directory() != nullptr) return refuse(EPERM);
    if (&what == this) return refuse(EINVAL);
    // One inside another, no deeper: a chain that came back to itself would never end.
    Epoll* inner = what.as_epoll();
    auto* entry = new (std::nothrow) Entry(*this, fd, event);
    if (entry == nullptr) return refuse(ENOMEM);
    auto held = watching.lock();
    const bool too_deep = inner != nullptr && (inner->has_epolls_ || !watchers(held).empty());
    if (too_deep || find(fd, what, held) != nullptr) {
        held.release();
        delete entry;
        held.acquire();
        return refuse(too_deep ? ELOOP : EEXIST);
    }
    has_epolls_ |= inner != nullptr;
    entry->id = ++last_id_;
    entry->what = &what;
    members_.push_back(*entry);
    what.watchers(held).push_back(*entry);
    queue(*entry, held);
    return {};
}

Outcome<> Epoll::modify(int fd, Description& what, const epoll_event& event) {
    auto held = watching.lock();
    Entry* entry = find(fd, what, held);
    if (entry == nullptr) return refuse(ENOENT);
    entry->event = event;
    queue(*entry, held);
    return {};
}

Outcome<> Epoll::remove(int fd, Description& what) {
    Entry* entry;
    {
        auto held = watching.lock();
        entry = find(fd, what, held);
        if (entry == nullptr) return refuse(ENOENT);
        forget(*entry, held);
        List<Watcher>::remove(*entry);
    }
    delete entry;
    return {};
}

/// After a look without the lock: the entry may be gone, or another at its place.
void Epoll::put_back(u64 id, Description& what, u64 round, Purpose purpose) {
    auto held = watching.lock();
    for (Watcher& watcher : what.watchers(held)) {
        Entry* entry = static_cast<Entry*>(watcher.epoll_entry());
        if (entry == nullptr || &entry->epoll != this || entry->id != id) continue;
        entry->round = round;
        if (purpose == Purpose::report && (entry->event.events & EPOLLONESHOT) != 0) entry->event.events &= kModes;
        const bool stays = purpose == Purpose::peek || (entry->event.events & kModes) == 0;
        if (stays && !entry->is_queued()) queue_.push_back(*entry);
        return;
    }
}

/// Fills `out` with what is ready; only looks when it is a peek.
usize Epoll::collect(std::span<epoll_event> out, Purpose purpose) {
    usize count = 0;
    u64 round = 0;
    while (count < out.size()) {
        Ref what;
        epoll_event event;
        u64 id;
        {
            auto held = watching.lock();
            if (round == 0) round = ++last_round_;
            if (queue_.empty() || queue_.front().round == round) break;
            Entry& entry = *queue_.pop_front();
            entry.round = round;
            if (!entry.what->try_retain(held)) continue;
            what = Ref(entry.what);
            event = entry.event;
            id = entry.id;
        }
        const auto now = static_cast<u32>(static_cast<u16>(what->ready()));
        const u32 got = (event.events & ~kModes) == 0 ? 0 : now & (event.events | kAlways);
        if (got == 0) continue;
        out[count++] = {.events = got, .data = event.data};
        put_back(id, *what, round, purpose);
    }
    return count;
}

short Epoll::ready() {
    epoll_event one;
    return collect({&one, 1}, Purpose::peek) != 0 ? POLLIN | POLLRDNORM : 0;
}

Outcome<int> Epoll::wait(std::span<epoll_event> out, Instant deadline) {
    if (cancel_due()) return refuse(EINTR);
    for (;;) {
        const u32 seen = changes();
        const usize count = collect(out, Purpose::report);
        if (count != 0 || deadline <= kernel::now()) return static_cast<int>(count);
        TRY_POSIX(await_change(seen, deadline));
    }
}

}  // namespace ringlet::posix

using namespace ringlet;
using namespace ringlet::posix;

namespace {

Outcome<> change(int epfd, int what, int fd, const epoll_event* event) {
    const Ref at = TRY_POSIX(description(epfd));
    const Ref target = TRY_POSIX(description(fd));
    Epoll* const epoll = at->as_epoll();
    if (epoll == nullptr) return refuse(EINVAL);
    if (event == nullptr && what != EPOLL_CTL_DEL) return refuse(EFAULT);
    switch (what) {
    case EPOLL_CTL_ADD:
        return epoll->add(fd, *target, *event);
    case EPOLL_CTL_MOD:
        return epoll->modify(fd, *target, *event);
    case EPOLL_CTL_DEL:
        return epoll->remove(fd, *target);
    default:
        return refuse(EINVAL);
    }
}

Outcome<int> wait_until(int epfd, epoll_event* events, int most, Instant deadline) {
    const Ref at = TRY_POSIX(description(epfd));
    Epoll* const epoll = at->as_epoll();
    if (epoll == nullptr || most <= 0) return refuse(EINVAL);
    return epoll->wait({events, static_cast<usize>(most)}, deadline);
}

Outcome<int> wait(int epfd, epoll_event* events, int most, int milliseconds, const sigset_t* mask) {
    const Instant deadline = milliseconds < 0 ? Instant::never() : after(Duration::from_ms(milliseconds));
    const MaskFor during(mask);
    if (during.interrupted()) return refuse(EINTR);
    return during.finish(wait_until(epfd, events, most, deadline));
}

}  // namespace

extern "C" {

int epoll_create1(int flags) {
    if ((flags & ~EPOLL_CLOEXEC) != 0) return answer(Outcome<int>(refuse(EINVAL)));
    return answer(insert_new<Epoll>(flags != 0));
}
int epoll_create(int size) {
    return size > 0 ? epoll_create1(0) : answer(Outcome<int>(refuse(EINVAL)));
}
int epoll_ctl(int epfd, int what, int fd, epoll_event* event) {
    return answer(change(epfd, what, fd, event));
}
int epoll_wait(int epfd, epoll_event* events, int most, int milliseconds) {
    return finish<int, AfterHandler::ends>([&] { return wait(epfd, events, most, milliseconds, nullptr); });
}
int epoll_pwait(int epfd, epoll_event* events, int most, int milliseconds, const sigset_t* mask) {
    return finish<int, AfterHandler::ends>([&] { return wait(epfd, events, most, milliseconds, mask); });
}

}  // extern "C"
