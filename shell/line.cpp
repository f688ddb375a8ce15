#include "shell/line.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ringlet::shell {

namespace {
constexpr char kCtrlA = 1, kCtrlB = 2, kCtrlC = 3, kCtrlD = 4, kCtrlE = 5, kCtrlF = 6, kBackspace = 8, kTab = 9,
               kCtrlK = 11, kCtrlL = 12, kCtrlN = 14, kCtrlP = 16, kCtrlU = 21, kCtrlW = 23, kEscape = 27,
               kDelete = 127;

usize common_prefix(std::string_view a, std::string_view b) {
    usize n = 0;
    while (n < a.size() && n < b.size() && a[n] == b[n]) ++n;
    return n;
}
}  // namespace

void Completions::add(std::string_view word) {
    std::array<char, 64> copy{};
    if (word.size() >= copy.size()) return;
    std::ranges::copy(word, copy.begin());
    if (!words.try_push_back(copy)) truncated = true;
}

void LineEditor::begin(std::string_view prompt, TextSink out) {
    prompt_length_ = std::min(prompt.size(), sizeof prompt_ - 1);
    std::memcpy(prompt_, prompt.data(), prompt_length_);
    length_ = cursor_ = 0;
    recalled_ = 0;
    escape_ = Escape::none;
    out({prompt_, prompt_length_});
}

std::string_view LineEditor::history(usize i) const {
    if (i >= history_count_) return {};
    const Entry& e = history_[(history_next_ + kHistory - 1 - i) % kHistory];
    return {e.text, e.length};
}

LineEditor::Event LineEditor::key(char c, TextSink out, Completer complete) {
    if (escape_ != Escape::none) {
        escape(c, out);
        return Event::none;
    }
    const bool second_of_crlf = std::exchange(after_return_, c == '\r') && c == '\n';
    if (second_of_crlf) return Event::none;
    if (static_cast<unsigned char>(c) >= 0x20 && c != kDelete) {
        insert(c, out);
        return Event::none;
    }
    return control(c, out, complete);
}

LineEditor::Event LineEditor::control(char c, TextSink out, Completer complete) {
    switch (c) {
    case '\r':
    case '\n':
        out("\n");
        remember();
        return Event::line;
    case kCtrlC:
        out("^C\n");
        return Event::interrupted;
    case kCtrlD:
        if (length_ == 0) {
            out("\n");
            return Event::end_of_input;
        }
        if (cursor_ < length_) erase(cursor_, 1, out);
        break;
    case kCtrlA:
        move_to(0, out);
        break;
    case kCtrlE:
        move_to(length_, out);
        break;
    case kCtrlB:
        if (cursor_ != 0) move_to(cursor_ - 1, out);
        break;
    case kCtrlF:
        if (cursor_ < length_) move_to(cursor_ + 1, out);
        break;
    case kBackspace:
    case kDelete:
        if (cursor_ != 0) erase(cursor_ - 1, 1, out);
        break;
    case kCtrlK:
        erase(cursor_, length_ - cursor_, out);
        break;
    case kCtrlU:
        erase(0, cursor_, out);
        break;
    case kCtrlW: {
        usize from = cursor_;
        while (from != 0 && text_[from - 1] == ' ') --from;
        while (from != 0 && text_[from - 1] != ' ') --from;
        erase(from, cursor_ - from, out);
        break;
    }
    case kCtrlL:
        out("\x1b[H\x1b[2J");
        redraw(out);
        break;
    case kCtrlP:
        recall(1, out);
        break;
    case kCtrlN:
        recall(-1, out);
        break;
    case kTab:
        complete_word(out, complete);
        break;
    case kEscape:
        escape_ = Escape::escape;
        break;
    default:
        break;
    }
    return Event::none;
}

void LineEditor::escape(char c, TextSink out) {
    switch (escape_) {
    case Escape::escape:
        escape_ = c == '[' || c == 'O' ? Escape::bracket : Escape::none;
        break;
    case Escape::bracket:
        if (c >= '0' && c <= '9') {
            escape_number_ = c;
            escape_ = Escape::number;
        } else {
            escape_ = Escape::none;
            cursor_key(c, out);
        }
        break;
    case Escape::number:
        if (c >= '0' && c <= ';') break;  // more digits, or a modifier: the first digit decides
        escape_ = Escape::none;
        if (c != '~')
            cursor_key(c, out);
        else if (escape_number_ == '1' || escape_number_ == '7')
            cursor_key('H', out);
        else if (escape_number_ == '4' || escape_number_ == '8')
            cursor_key('F', out);
        else if (escape_number_ == '3' && cursor_ < length_)
            erase(cursor_, 1, out);
        break;
    case Escape::none:
        break;
    }
}

void LineEditor::cursor_key(char final, TextSink out) {
    switch (final) {
    case 'A':
        recall(1, out);
        break;
    case 'B':
        recall(-1, out);
        break;
    case 'C':
        if (cursor_ < length_) move_to(cursor_ + 1, out);
        break;
    case 'D':
        if (cursor_ != 0) move_to(cursor_ - 1, out);
        break;
    case 'H':
        move_to(0, out);
        break;
    case 'F':
        move_to(length_, out);
        break;
    default:
        break;
    }
}

void LineEditor::insert(char c, TextSink out) {
    if (length_ == kMaxLine) {
        out("\a");
        return;
    }
    std::memmove(text_ + cursor_ + 1, text_ + cursor_, length_ - cursor_);
    text_[cursor_] = c;
    ++length_;
    const usize target = cursor_ + 1;
    out({text_ + cursor_, length_ - cursor_});
    cursor_ = length_;
    move_to(target, out);
}

void LineEditor::erase(usize from, usize count, TextSink out) {
    if (count == 0) return;
    move_to(from, out);
    std::memmove(text_ + from, text_ + from + count, length_ - from - count);
    length_ -= count;
    out({text_ + from, length_ - from});
    out("\x1b[K");
    cursor_ = length_;
    move_to(from, out);
}

void LineEditor::move_to(usize position, TextSink out) {
    char sequence[16];
    if (position < cursor_)
        out(format_to(sequence, "\x1b[{}D", cursor_ - position));
    else if (position > cursor_)
        out(format_to(sequence, "\x1b[{}C", position - cursor_));
    cursor_ = position;
}

void LineEditor::recall(int step, TextSink out) {
    if (step < 0 && recalled_ == 0) return;
    if (step > 0 && recalled_ == history_count_) return;
    if (recalled_ == 0) {
        std::memcpy(draft_.text, text_, length_);
        draft_.length = length_;
    }
    recalled_ = step > 0 ? recalled_ + 1 : recalled_ - 1;
    replace(recalled_ == 0 ? std::string_view{draft_.text, draft_.length} : history(recalled_ - 1), out);
}

void LineEditor::replace(std::string_view with, TextSink out) {
    move_to(0, out);
    std::memcpy(text_, with.data(), with.size());
    length_ = cursor_ = with.size();
    out(with);
    out("\x1b[K");
}

void LineEditor::redraw(TextSink out) {
    const usize target = cursor_;
    out({prompt_, prompt_length_});
    out({text_, length_});
    cursor_ = length_;
    move_to(target, out);
}

usize LineEditor::word_start() const {
    usize start = cursor_;
    while (start != 0 && text_[start - 1] != ' ') --start;
    return start;
}

void LineEditor::complete_word(TextSink out, Completer complete) {
    Completions found;
    complete({text_, cursor_}, found);
    if (found.words.empty()) {
        out("\a");
        return;
    }
    const std::string_view first = found.words[0].data();
    usize shared = first.size();
    for (const auto& word : found.words) shared = std::min(shared, common_prefix(first, word.data()));
    const usize typed = cursor_ - word_start();
    for (usize i = typed; i < shared; ++i) insert(first[i], out);
    if (found.words.size() == 1) {
        if (!first.ends_with('/')) insert(' ', out);
        return;
    }
    if (shared > typed) return;
    out("\n");
    for (const auto& word : found.words) {
        out(word.data());
        out("  ");
    }
    out(found.truncated ? "...\n" : "\n");
    redraw(out);
}

void LineEditor::remember() {
    const std::string_view now = line();
    if (now.find_first_not_of(' ') == now.npos || now == history(0)) return;
    Entry& e = history_[history_next_];
    std::memcpy(e.text, text_, length_);
    e.length = length_;
    history_next_ = (history_next_ + 1) % kHistory;
    if (history_count_ < kHistory) ++history_count_;
}

}  // namespace ringlet::shell
