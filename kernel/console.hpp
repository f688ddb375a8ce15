// The system console: whatever serial device the machine has, as one stream of characters each way.
// The composition root attaches the device; the log, the panic screen and applications write; one reader at a time.
#pragma once

#include <optional>
#include <string_view>

#include "lib/time.hpp"

namespace ringlet::kernel {

/// `write` must be callable from any context (polled output). Replaces an earlier one, which is returned; nullptr
/// detaches.
void (*console_attach(void (*write)(std::string_view)))(std::string_view);
/// What a panic writes to instead, because the console needs locks or queues; nullptr: nothing special.
void console_attach_panic(void (*write)(std::string_view));
/// From now on the console is that. Context: a panic.
void console_use_panic_output();
bool console_attached();
/// Sends `text`, each '\n' as "\r\n". Context: any.
void console_write(std::string_view text);
/// A character arrived. Dropped (and counted) when nobody has read the last 256, or 16384 with console_on_input().
/// Context: any, interrupts included.
void console_input(char c);
/// The next character typed; nothing when the deadline passes first. Context: thread; one reader at a time.
std::optional<char> console_read(Instant deadline);
/// There is one reader: true for the first who asks to be it. Context: any.
bool console_claim_input();
/// `arrived` is called for each character that can be read now, from the context of console_input(). Set once, before
/// there is a reader. More of what nobody reads is kept from then on: the character that interrupts a program which
/// does not read must not wait with the sender, behind the rest. Context: thread.
void console_on_input(void (*arrived)(char c));
/// Has something been typed that is not read yet? Context: any.
bool console_input_pending();
/// True: no more fits. The driver then leaves what comes with the device, whose own flow control takes over, and
/// is called back when there is room. Context: that of console_input().
bool console_input_full();
/// `resume` is called once after console_input_full() said yes and the reader has made room. Context of the call:
/// the reader's.
void console_on_room(void (*resume)());
/// If `c` was typed and is not read yet: forgets it and all that was typed before it. Context: the reader.
bool console_discard_through(char c);
/// Characters lost because nobody read them.
u64 console_overruns();

}  // namespace ringlet::kernel
