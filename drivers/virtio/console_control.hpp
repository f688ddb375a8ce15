// What of the console driver does not depend on its configuration: reading control messages, which are not trusted,
// and being the system console.
#pragma once

#include <optional>
#include <string_view>

#include "drivers/virtio/spec/console.hpp"
#include "lib/bytes.hpp"

namespace ringlet::virtio {

struct ConsoleMessage {
    u32 id = 0;
    u16 event = 0, value = 0;
    Bytes rest;  ///< a view into the buffer
};
/// Nothing: too short to be a message.
std::optional<ConsoleMessage> read_console_message(Bytes written);
/// The name in a PORT_NAME message, without what follows a NUL. Empty: longer than a port's name may be, or with
/// characters that do not belong on a screen.
std::string_view read_port_name(Bytes rest);

/// A port that may become the system console (hvc0).
class SystemConsole {
public:
    /// Sends what the device takes, waits a bounded time for room, drops the rest. Context: any.
    virtual void put(std::string_view text) = 0;
    /// The same through the configuration space: no lock, no queue. For panics.
    virtual void emergency(std::string_view text) = 0;
    /// There is room for input again. Context: the reader's.
    virtual void on_room() = 0;

protected:
    ~SystemConsole() = default;
};

/// The console is `console` from now on, for ever. A panic is written to the former one and as emergency().
void become_system_console(SystemConsole& console);
/// For tests: the console that was so stays none.
void end_system_console(SystemConsole& console);

}  // namespace ringlet::virtio
