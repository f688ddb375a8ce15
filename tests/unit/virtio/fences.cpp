// The two fences of each ring on real processors (virtio 1.2 §2.7.13.4.1, §2.7.14, §2.8.20.1): a litmus test around the
// real publish() and rearm(). In each round both halves meet at a spin barrier; then the driver stores its index
// (packed: its descriptor) and reads the device's wish while the device stores its wish and reads the index. A round is
// lost when neither noticed the other: in a kernel that is a wake-up that never comes. A fence that is there makes it
// impossible; one that is missing loses a few percent of the rounds on x86, and the control experiment (the same stores
// and loads, the driver's fence left out on purpose) shows in the same run whether this machine was quiet enough to
// tell. Compiled with -O2 and without sanitizers, which order memory themselves; a program of its own for that reason.
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "arch/host.hpp"
#include "drivers/virtio/any_ring.hpp"
#include "kernel/mm/pressure.hpp"

using namespace ringlet;
using Clock = std::chrono::steady_clock;

void ringlet::assert_failed(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

/// Nobody here has memory to give back.
ringlet::usize ringlet::kernel::relieve_pressure(usize, Pressure) {
    return 0;
}

namespace {

constexpr u16 kSize = 64;
constexpr u32 kStagger = 22;         ///< of a 32-bit random number: up to 1023 turns
constexpr u32 kBatch = 512;          ///< rounds between two looks at the clock
constexpr u64 kTellingLosses = 400;  ///< of each control: the run may end
constexpr u64 kFewestLosses = 40;    ///< of a control: fewer say nothing
constexpr auto kLongest = std::chrono::milliseconds(4000);

/// Both sides meet. Spins: a call into the kernel would be a fence.
class Meeting {
    struct alignas(128) Count {
        std::atomic<u32> n{0};
    };
    Count sides_[2];

public:
    void at(unsigned side) {
        const u32 mine = sides_[side].n.load(std::memory_order_relaxed) + 1;
        sides_[side].n.store(mine, std::memory_order_release);
        while (i32(sides_[1 - side].n.load(std::memory_order_acquire) - mine) < 0) {
        }
    }
};

u16 get(const u16* p) {
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}
void put(u16* p, u16 v) {
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}
void fence() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

/// The device's half, written from the specification: the words of one ring, and what each round does with them.
struct SplitWords {
    u16 *avail_flags, *avail_idx, *used_event, *used_flags, *used_idx, *avail_event;
    bool events;
    u16 index = 0;

    SplitWords(std::byte* memory, bool e) : events(e) {
        const virtio::SplitLayout layout{kSize};
        auto* avail = reinterpret_cast<u16*>(memory + layout.avail());
        auto* used = reinterpret_cast<u16*>(memory + layout.used());
        avail_flags = avail, avail_idx = avail + 1, used_event = avail + 2 + kSize;
        used_flags = used, used_idx = used + 1, avail_event = used + 2 + 4 * kSize;
    }
    void next() { ++index; }
    // The driver's side, for the control.
    void offer() { put(avail_idx, u16(index + 1)); }
    void deafen_driver() { events ? put(used_event, u16(index - 1)) : put(avail_flags, 1); }
    void wake_driver() { events ? put(used_event, index) : put(avail_flags, 0); }
    bool device_listens() const { return events ? get(avail_event) == index : (get(used_flags) & 1) == 0; }
    bool used() const { return get(used_idx) != index; }
    // The device's side.
    void use() { put(used_idx, u16(index + 1)); }
    void deafen_device() { events ? put(avail_event, u16(index - 1)) : put(used_flags, 1); }
    void wake_device() { events ? put(avail_event, index) : put(used_flags, 0); }
    bool driver_listens() const { return events ? get(used_event) == index : (get(avail_flags) & 1) == 0; }
    bool offered() const { return get(avail_idx) != index; }
};

struct PackedWords {
    std::byte* memory;
    u16 *driver, *device;  ///< event structures: offset and wrap counter, flags
    bool events;
    u32 index = 0;

    PackedWords(std::byte* m, bool e) : memory(m), events(e) {
        const virtio::PackedLayout layout{kSize};
        driver = reinterpret_cast<u16*>(m + layout.driver()), device = reinterpret_cast<u16*>(m + layout.device());
    }
    void next() { ++index; }
    bool wrap() const { return index / kSize % 2 == 0; }
    u16 off_wrap() const { return u16(index % kSize | (wrap() ? 0x8000 : 0)); }
    u16* flags() const { return reinterpret_cast<u16*>(memory + 16 * (index % kSize) + 14); }
    void wake(u16* side) const {
        if (events) put(side, off_wrap());
        put(side + 1, events ? 2 : 0);
    }
    bool listens(const u16* side) const {
        return get(side + 1) == (events ? 2 : 0) && (!events || get(side) == off_wrap());
    }

    void offer() { put(flags(), wrap() ? 0x0080 : 0x8000); }
    void deafen_driver() { put(driver + 1, 1); }
    void wake_driver() { wake(driver); }
    bool device_listens() const { return listens(device); }
    bool used() const { return (get(flags()) & 0x8080) == (wrap() ? 0x8080 : 0); }

    void use() { put(flags(), wrap() ? 0x8080 : 0); }
    void deafen_device() { put(device + 1, 1); }
    void wake_device() { wake(device); }
    bool driver_listens() const { return listens(driver); }
    bool offered() const { return (get(flags()) & 0x8080) == (wrap() ? 0x0080 : 0x8000); }
};

/// Cold lines that the driver writes just before the race, as it writes a packet: its index has to wait behind them in
/// the store buffer, which makes the window of a missing fence as wide as it is in a driver at work.
class Packets {
    static constexpr usize kLines = usize{1} << 17;  // 8 MiB
    std::vector<u64> words_ = std::vector<u64>(kLines * 8);
    u32 seed_ = 3;

public:
    void write() {
        for (int i = 0; i < 4; ++i) {
            seed_ = seed_ * 1664525 + 1013904223;
            __atomic_store_n(&words_[usize{seed_ >> 15} * 8], seed_, __ATOMIC_RELAXED);
        }
    }
};

/// Shifts the two sides against each other, a little differently in every round.
void stagger(u32 turns) {
    for (u32 i = 0; i < turns; ++i) asm volatile("" ::: "memory");
}

/// One function under test, of one layout, with or without EVENT_IDX, the real one or the control.
class Experiment {
public:
    const bool rearm, control;
    u64 rounds = 0, lost = 0;

    Experiment(bool r, bool c) : rearm(r), control(c) {}
    virtual ~Experiment() = default;
    /// So many rounds, of each side in its own thread.
    virtual void driver_rounds(Meeting& m, u32 n, u32& seed, Packets& packets, const std::atomic<bool>& noticed) = 0;
    virtual void device_rounds(Meeting& m, u32 n, u32& seed, std::atomic<bool>& noticed) = 0;
};

template <class R, class Words> class ExperimentOf final : public Experiment {
public:
    ExperimentOf(bool r, bool e, bool c)
        : Experiment(r, c),
          ring_(R::create({.size = kSize, .packed = std::is_same_v<R, virtio::PackedRing>, .event_idx = e}).value()),
          data_(kernel::DmaRegion::allocate(64).value()), segment_{data_.addr(), 64},
          words_(arch::host::dma_to_pointer(ring_.addrs().desc, R::footprint(kSize)), e) {}

    void driver_rounds(Meeting& m, u32 n, u32& seed, Packets& packets,
                       const std::atomic<bool>& device_noticed) override {
        for (u32 i = 0; i < n; ++i) {
            prepare_driver();
            m.at(0);
            (void)(rearm ? words_.used() : words_.device_listens());  // into our cache: the load may overtake the store
            m.at(0);
            stagger((seed = seed * 1664525 + 1013904223) >> kStagger);
            packets.write();
            const bool noticed = race_driver();
            m.at(0);
            settle(noticed, device_noticed.load(std::memory_order_relaxed));
            m.at(0);
        }
    }
    void device_rounds(Meeting& m, u32 n, u32& seed, std::atomic<bool>& noticed) override {
        for (u32 i = 0; i < n; ++i) {
            if (!rearm) words_.deafen_device();
            m.at(1);
            (void)(rearm ? words_.driver_listens() : words_.offered());
            m.at(1);
            stagger((seed = seed * 1664525 + 1013904223) >> kStagger);
            noticed.store(race_device(), std::memory_order_relaxed);
            m.at(1);
            m.at(1);
        }
    }

private:
    // Before the first barrier.
    void prepare_driver() {
        if (control) {
            if (rearm) words_.deafen_driver();
            return;
        }
        if (!ring_.push({}, {&segment_, 1})) std::abort();
        if (!rearm) return;
        (void)ring_.publish();  // nobody sleeps yet
        ring_.suppress();
    }
    // The race. True: this side has noticed the other.
    bool race_driver() {
        if (!control) return rearm ? ring_.rearm() : ring_.publish();
        if (!rearm) return words_.offer(), words_.device_listens();
        return words_.wake_driver(), words_.used();
    }
    bool race_device() {
        rearm ? words_.use() : words_.wake_device();
        fence();
        return rearm ? words_.driver_listens() : words_.offered();
    }
    /// After the last barrier but one, in the driver's thread: counts, and brings the ring to the next round.
    void settle(bool driver_noticed, bool device_noticed) {
        ++rounds;
        lost += !driver_noticed && !device_noticed;
        if (!control) {
            if (!rearm) words_.use();
            if (!ring_.pop()) std::abort();  // the only chain there is has the id 0, in a used element of zeros too
        }
        words_.next();
    }

    R ring_;
    kernel::DmaRegion data_;
    virtio::Segment segment_;
    Words words_;
};

void pin(unsigned cpu_index) {
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &allowed) || cpu_index-- != 0) continue;
        CPU_SET(cpu, &one);
        (void)pthread_setaffinity_np(pthread_self(), sizeof one, &one);  // when it cannot be, the control will tell
        return;
    }
}
int processors() {
    cpu_set_t allowed;
    return sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
}

}  // namespace

using Split = ExperimentOf<virtio::SplitRing, SplitWords>;
using Packed = ExperimentOf<virtio::PackedRing, PackedWords>;

int main() {
    if (processors() < 2) {
        std::puts("SKIPPED: only one processor: it always sees its own stores\n0 passed, 0 failed, 8 skipped");
        return 0;
    }
    // Pairs: the real function, then its control.
    std::vector<std::unique_ptr<Experiment>> all;
    std::vector<std::string> names;
    for (const bool rearm : {false, true}) {
        for (const bool events : {true, false}) {
            for (const bool control : {false, true}) all.emplace_back(new Split(rearm, events, control));
            for (const bool control : {false, true}) all.emplace_back(new Packed(rearm, events, control));
            const std::string what =
                std::string(rearm ? "rearm()" : "publish()") + (events ? ", EVENT_IDX" : ", flags");
            names.push_back("split " + what);
            names.push_back("packed " + what);
        }
    }
    Meeting meeting;
    Packets packets;
    std::atomic<bool> device_noticed{false}, more{true};

    std::thread device([&] {
        pin(1);
        for (u32 seed = 1; more.load(std::memory_order_relaxed);) {
            for (const auto& e : all) e->device_rounds(meeting, kBatch, seed, device_noticed);
            meeting.at(1);
        }
    });

    pin(0);
    const auto end = Clock::now() + kLongest;
    for (u32 seed = 2; more.load(std::memory_order_relaxed);) {
        for (const auto& e : all) e->driver_rounds(meeting, kBatch, seed, packets, device_noticed);
        bool told = true;
        for (const auto& e : all) told = told && (!e->control || e->lost >= kTellingLosses);
        more.store(!told && Clock::now() < end, std::memory_order_relaxed);
        meeting.at(0);
    }
    device.join();

    int passed = 0, failed = 0, skipped = 0;
    for (unsigned i = 0; i < names.size(); ++i) {
        const Experiment &real = *all[2 * i], &control = *all[2 * i + 1];
        const char* verdict = "ok";
        if (real.lost != 0)
            verdict = "FAIL", ++failed;
        else if (control.lost < kFewestLosses)
            verdict = "SKIPPED, this machine was too busy to tell", ++skipped;
        else
            ++passed;
        std::printf("%s: %s lost %llu of %llu wake-ups; without a fence %llu are lost\n", verdict, names[i].c_str(),
                    static_cast<unsigned long long>(real.lost), static_cast<unsigned long long>(real.rounds),
                    static_cast<unsigned long long>(control.lost));
    }
    std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
