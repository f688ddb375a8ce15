// See console_control.hpp.
#include "drivers/virtio/console_control.hpp"

#include <atomic>
#include <cstring>

#include "kernel/console.hpp"
#include "kernel/port.hpp"
#include "lib/parse.hpp"

namespace ringlet::virtio {

std::optional<ConsoleMessage> read_console_message(Bytes written) {
    ConsoleSpec::Control c;
    if (written.size() < sizeof c) return std::nullopt;
    std::memcpy(&c, written.data(), sizeof c);
    return ConsoleMessage{.id = c.id, .event = c.event, .value = c.value, .rest = written.subspan(sizeof c)};
}

std::string_view read_port_name(Bytes rest) {
    std::string_view name(reinterpret_cast<const char*>(rest.data()), rest.size());
    name = substring(name, 0, name.find('\0'));
    if (name.size() > kernel::PortDriver::kMaxName) return {};
    for (const char c : name)
        if (c <= ' ' || c > '~') return {};
    return name;
}

namespace {

constinit std::atomic<SystemConsole*> current{nullptr};
using Write = void (*)(std::string_view);
constinit Write former = nullptr;

void put(std::string_view text) {
    if (SystemConsole* const c = current.load(std::memory_order_acquire)) c->put(text);
}
void put_in_panic(std::string_view text) {
    if (former != nullptr) former(text);
    if (SystemConsole* const c = current.load(std::memory_order_acquire)) c->emergency(text);
}
void on_room() {
    if (SystemConsole* const c = current.load(std::memory_order_acquire)) c->on_room();
}

}  // namespace

void become_system_console(SystemConsole& console) {
    current.store(&console, std::memory_order_release);
    kernel::console_on_room(on_room);
    former = kernel::console_attach(put);
    kernel::console_attach_panic(put_in_panic);
}

void end_system_console(SystemConsole& console) {
    SystemConsole* expected = &console;
    if (!current.compare_exchange_strong(expected, nullptr)) return;
    (void)kernel::console_attach(former);
    kernel::console_attach_panic(nullptr);
    kernel::console_on_room(nullptr);
}

}  // namespace ringlet::virtio
