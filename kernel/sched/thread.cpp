// How threads begin, end, are joined and counted, and the idle thread. Context: thread.
#include "kernel/sched/thread.hpp"

#include <algorithm>
#include <arch/clock.hpp>
#include <arch/thread_pointer.hpp>

#include "kernel/panic.hpp"
#include "kernel/sched/internal.hpp"

namespace ringlet::kernel {

namespace {

constexpr usize kIdleStack = 8192;

// Main and idle exist for ever; built by scheduler_init().
alignas(Thread) constinit std::byte main_storage[sizeof(Thread)] = {};
alignas(List<Thread, AllTag>) constinit std::byte all_storage[sizeof(List<Thread, AllTag>)] = {};
List<Thread, AllTag>& all() {
    return *reinterpret_cast<List<Thread, AllTag>*>(all_storage);
}

constinit u32 next_id = 1;
using Step = void (*)();
constinit Step exit_step = nullptr;

void set_name(Thread& thread, std::string_view name) {
    const usize n = std::min(name.size(), sizeof thread.name - 1);
    std::copy_n(name.data(), n, thread.name);
}

void destroy(Thread* thread) {
    free_stack(thread->stack);
    delete thread;
}

void reap() {
    for (;;) {
        Thread* dead;
        {
            const SchedulerGuard guard;
            dead = this_cpu().zombies;
            if (dead == nullptr) return;
            this_cpu().zombies = dead->joiner;
        }
        destroy(dead);
    }
}

void thread_begin(void* self) {
    auto* thread = static_cast<Thread*>(self);
    start_new_thread();
    thread->entry(thread->arg);
    exit_thread();
}

void idle_loop(void*) {
    for (;;) {
        reap();
        arch::disable_interrupts();
        if (this_cpu().ready_priorities == 0) arch::wait_for_interrupt();
        arch::enable_interrupts();
        const SchedulerGuard look;  // its end switches if somebody is ready
        if (this_cpu().ready_priorities != 0) this_cpu().need_switch = true;
    }
}

Result<Thread*> make_thread(const ThreadConfig& config, void (*entry)(void*), void* arg) {
    if (config.priority >= kPriorities) return fail(Error::invalid);
    std::unique_ptr<Thread> thread(new (std::nothrow) Thread);
    if (!thread) return fail(Error::no_memory);
    const usize tls_bytes = arch::tls_block_bytes();
    thread->stack = TRY(allocate_stack(config.stack_bytes + tls_bytes));
    thread->entry = entry;
    thread->arg = arg;
    thread->base_priority = thread->priority = config.priority;
    set_name(*thread, config.name);
    MutableBytes stack = thread->stack.memory();
    if (tls_bytes != 0) {
        thread->thread_pointer = arch::tls_block_init(stack.last(tls_bytes));
        stack = stack.first(align_down(stack.size() - tls_bytes, usize{64}));
    }
    arch::context_init(thread->context, stack, thread_begin, thread.get());
    return thread.release();
}

std::string_view state_name(const Thread& thread) {
    switch (thread.state) {
    case ThreadState::running:
        return "running";
    case ThreadState::ready:
        return "ready";
    case ThreadState::waiting:
        return thread.wait_list == nullptr && !thread.deadline.is_never() ? "sleeping" : "waiting";
    case ThreadState::exited:
        return "exited";
    }
    return "?";
}

u64 cpu_time(const Thread& thread) {
    const Cpu& cpu = this_cpu();
    return thread.cpu_time_ns + (&thread == cpu.current ? arch::monotonic_now().ns - cpu.running_since.ns : 0);
}

}  // namespace

Result<> scheduler_init() {
    if (this_cpu().current != nullptr) return fail(Error::exists);
    std::construct_at(&all());
    Thread& main = *std::construct_at(reinterpret_cast<Thread*>(main_storage));
    main.id = next_id++;
    set_name(main, "main");
    if (const usize bytes = arch::tls_block_bytes(); bytes != 0) {  // this thread is made already, and has its stack
        auto* block = new (std::nothrow) std::byte[bytes];
        if (block == nullptr) return fail(Error::no_memory);
        main.thread_pointer = arch::tls_block_init({block, bytes});
        arch::set_thread_pointer(main.thread_pointer);
    }
    Thread* const idle = TRY(make_thread({"idle", 0, kIdleStack}, idle_loop, nullptr));
    idle->id = next_id++;
    all().push_back(main);
    all().push_back(*idle);
    {
        const arch::IrqGuard off;
        install_first_threads(main, *idle);
        add_new_thread(*idle);
    }
    arch::enable_interrupts();
    return {};
}

Result<ThreadHandle> ThreadHandle::spawn(const ThreadConfig& config, void (*entry)(void*), void* arg) {
    reap();
    Thread* const thread = TRY(make_thread(config, entry, arg));
    const SchedulerGuard guard;
    thread->id = next_id++;
    all().push_back(*thread);
    add_new_thread(*thread);
    return ThreadHandle(thread);
}

void ThreadHandle::join() {
    ASSERT(thread_ != nullptr && thread_ != current_thread());
    Thread* const thread = std::exchange(thread_, nullptr);
    {
        const SchedulerGuard guard;
        while (thread->state != ThreadState::exited) {
            thread->joiner = current_thread();
            block_current(Instant::never());
        }
    }
    destroy(thread);
}

void ThreadHandle::detach() {
    ASSERT(thread_ != nullptr);
    Thread* const thread = std::exchange(thread_, nullptr);
    {
        const SchedulerGuard guard;
        thread->detached = true;
        if (thread->state != ThreadState::exited) return;
    }
    destroy(thread);
}

void set_thread_exit_step(void (*step)()) {
    exit_step = step;
}

void exit_thread() {
    if (exit_step != nullptr) exit_step();
    ASSERT(this_cpu().held_ranks == 0);  // no lock, no mutex
    const SchedulerGuard guard;
    Thread& self = *current_thread();
    ASSERT(self.stack.bytes != 0);
    List<Thread, AllTag>::remove(self);
    self.state = ThreadState::exited;
    if (self.joiner != nullptr) wake(*self.joiner);
    if (self.detached) {
        self.joiner = this_cpu().zombies;
        this_cpu().zombies = &self;
    }
    switch_for_ever();
}

void for_each_thread(FunctionRef<void(const ThreadInfo&)> visit) {
    u32 after = 0;
    for (;;) {
        ThreadInfo info;
        {
            const SchedulerGuard guard;
            if (this_cpu().current == nullptr) return;
            const Thread* found = nullptr;  // ids ascend along the list
            for (const Thread& thread : all())
                if (thread.id > after) {
                    found = &thread;
                    break;
                }
            if (found == nullptr) return;
            info = {.id = found->id,
                    .state = state_name(*found),
                    .priority = found->priority,
                    .cpu_time_ns = cpu_time(*found),
                    .switches = found->switches,
                    .stack_bytes = found->stack.bytes};
            std::copy_n(found->name, sizeof info.name, info.name);
        }
        after = info.id;
        visit(info);
    }
}

u64 own_cpu_time_ns() {
    const SchedulerGuard guard;
    return current_thread() != nullptr ? cpu_time(*current_thread()) : 0;
}

u64 idle_time_ns() {
    const SchedulerGuard guard;
    return this_cpu().idle != nullptr ? cpu_time(*this_cpu().idle) : 0;
}

std::string_view current_thread_name() {
    const Thread* thread = this_cpu().current;
    return thread != nullptr ? thread->name : "boot";
}

}  // namespace ringlet::kernel
