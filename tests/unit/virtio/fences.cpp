// The two fences of the split ring on real processors (virtio 1.2 §2.7.13.4.1, §2.7.14): a litmus test around the real
// publish() and rearm(). In each round both halves meet at a spin barrier; then the driver stores its index and reads
// the device's wish while the device stores its wish and reads the index. A round is lost when neither noticed the
// other: in a kernel that is a wake-up that never comes. A fence that is there makes it impossible; one that is missing
// loses a few percent of the rounds on x86, and the control experiment (the same stores and loads, the driver's fence
// left out on purpose) shows in the same run whether this machine was quiet enough to tell. Compiled with -O2 and
// without sanitizers, which order memory themselves; a program of its own for that reason.
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "arch/host.hpp"
#include "drivers/virtio/split_ring.hpp"

using namespace ringlet;
using Clock = std::chrono::steady_clock;

void ringlet::assert_failed(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

namespace {

constexpr u16 kSize = 64;
constexpr u32 kStagger = 22;         ///< of a 32-bit random number: up to 1023 turns
constexpr u32 kBatch = 512;          ///< rounds between two looks at the clock
constexpr u64 kTellingLosses = 400;  ///< of each control: the run may end
constexpr u64 kFewestLosses = 40;    ///< of a control: fewer say nothing
constexpr auto kLongest = std::chrono::milliseconds(2500);

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

/// The device's half, written from the specification: the words of one ring.
struct Words {
    u16 *avail_flags, *avail_idx, *used_event, *used_flags, *used_idx, *avail_event;
    explicit Words(std::byte* memory) {
        const virtio::SplitLayout layout{kSize};
        auto* avail = reinterpret_cast<u16*>(memory + layout.avail());
        auto* used = reinterpret_cast<u16*>(memory + layout.used());
        avail_flags = avail, avail_idx = avail + 1, used_event = avail + 2 + kSize;
        used_flags = used, used_idx = used + 1, avail_event = used + 2 + 4 * kSize;
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

/// One function under test, with or without EVENT_IDX, the real one or the control.
class Experiment {
public:
    const bool rearm, events, control;
    u64 rounds = 0, lost = 0;

    Experiment(bool r, bool e, bool c)
        : rearm(r), events(e), control(c), ring_(virtio::SplitRing::create({.size = kSize, .event_idx = e}).value()),
          data_(kernel::DmaRegion::allocate(64).value()), segment_{data_.addr(), 64},
          words_(arch::host::dma_to_pointer(ring_.addrs().desc, virtio::SplitLayout{kSize}.bytes())) {}

    // Before the first barrier, each side what is its own.
    void prepare_driver() {
        if (control) {
            if (rearm) events ? put(words_.used_event, u16(index_ - 1)) : put(words_.avail_flags, 1);
            return;
        }
        if (!ring_.push({}, {&segment_, 1})) std::abort();
        if (!rearm) return;
        (void)ring_.publish();  // nobody sleeps yet
        ring_.suppress();
    }
    void prepare_device() {
        if (!rearm) events ? put(words_.avail_event, u16(index_ - 1)) : put(words_.used_flags, 1);
    }
    // After it: what each side is going to read, in its own cache, so that the load can overtake the store.
    void warm_driver() const { (void)get(rearm ? words_.used_idx : events ? words_.avail_event : words_.used_flags); }
    void warm_device() const { (void)get(!rearm ? words_.avail_idx : events ? words_.used_event : words_.avail_flags); }

    // The race. True: this side has noticed the other.
    bool race_driver() { return control ? race_control() : rearm ? ring_.rearm() : ring_.publish(); }
    bool race_device() const {
        if (!rearm) {
            events ? put(words_.avail_event, index_) : put(words_.used_flags, 0);
            fence();
            return get(words_.avail_idx) != index_;
        }
        put(words_.used_idx, u16(index_ + 1));
        fence();
        return events ? get(words_.used_event) == index_ : (get(words_.avail_flags) & 1) == 0;
    }

    /// After the last barrier, in the driver's thread: counts, and brings the ring to the next round.
    void settle(bool driver_noticed, bool device_noticed) {
        ++rounds;
        lost += !driver_noticed && !device_noticed;
        if (!control) {
            if (!rearm) put(words_.used_idx, u16(index_ + 1));
            if (!ring_.pop()) std::abort();  // the used element is all zeros: id 0, the only chain there is
        }
        ++index_;
    }

private:
    bool race_control() const {
        if (!rearm) {
            put(words_.avail_idx, u16(index_ + 1));
            return events ? get(words_.avail_event) == index_ : (get(words_.used_flags) & 1) == 0;
        }
        events ? put(words_.used_event, index_) : put(words_.avail_flags, 0);
        return get(words_.used_idx) != index_;
    }

    virtio::SplitRing ring_;
    kernel::DmaRegion data_;
    virtio::Segment segment_;
    Words words_;
    u16 index_ = 0;
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

}  // namespace

int main() {
    if (processors() < 2) {
        std::puts("SKIPPED: only one processor: it always sees its own stores\n0 passed, 0 failed, 4 skipped");
        return 0;
    }
    // Pairs: the real function, then its control.
    Experiment all[] = {{false, true, false}, {false, true, true}, {false, false, false}, {false, false, true},
                        {true, true, false},  {true, true, true},  {true, false, false},  {true, false, true}};
    constexpr const char* kNames[] = {"publish() with EVENT_IDX", "publish() with flags", "rearm() with EVENT_IDX",
                                      "rearm() with flags"};
    Meeting meeting;
    Packets packets;
    std::atomic<bool> device_noticed{false}, more{true};

    std::thread device([&] {
        pin(1);
        for (u32 seed = 1; more.load(std::memory_order_relaxed);) {
            for (Experiment& e : all) {
                for (u32 i = 0; i < kBatch; ++i) {
                    e.prepare_device();
                    meeting.at(1);
                    e.warm_device();
                    meeting.at(1);
                    stagger((seed = seed * 1664525 + 1013904223) >> kStagger);
                    device_noticed.store(e.race_device(), std::memory_order_relaxed);
                    meeting.at(1);
                    meeting.at(1);
                }
            }
            meeting.at(1);
        }
    });

    pin(0);
    const auto end = Clock::now() + kLongest;
    for (u32 seed = 2; more.load(std::memory_order_relaxed);) {
        for (Experiment& e : all) {
            for (u32 i = 0; i < kBatch; ++i) {
                e.prepare_driver();
                meeting.at(0);
                e.warm_driver();
                meeting.at(0);
                stagger((seed = seed * 1664525 + 1013904223) >> kStagger);
                packets.write();
                const bool noticed = e.race_driver();
                meeting.at(0);
                e.settle(noticed, device_noticed.load(std::memory_order_relaxed));
                meeting.at(0);
            }
        }
        bool told = true;
        for (const Experiment& e : all) told = told && (!e.control || e.lost >= kTellingLosses);
        more.store(!told && Clock::now() < end, std::memory_order_relaxed);
        meeting.at(0);
    }
    device.join();

    int passed = 0, failed = 0, skipped = 0;
    for (unsigned i = 0; i < 4; ++i) {
        const Experiment &real = all[2 * i], &control = all[2 * i + 1];
        const char* verdict = "ok";
        if (real.lost != 0)
            verdict = "FAIL", ++failed;
        else if (control.lost < kFewestLosses)
            verdict = "SKIPPED, this machine was too busy to tell", ++skipped;
        else
            ++passed;
        std::printf("%s: %s lost %llu of %llu wake-ups; without a fence %llu are lost\n", verdict, kNames[i],
                    static_cast<unsigned long long>(real.lost), static_cast<unsigned long long>(real.rounds),
                    static_cast<unsigned long long>(control.lost));
    }
    std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
