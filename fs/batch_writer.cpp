// The last completion (interrupt context) sets the event; its last access to the writer is that set(), and the waiting
// thread returns only after it has consumed it.
#include "fs/batch_writer.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace ringlet::fs {

Result<std::unique_ptr<BatchWriter>> BatchWriter::create(BlockDevice& device) {
    std::unique_ptr<BatchWriter> writer(new (std::nothrow) BatchWriter(device));
    if (!writer) return fail(Error::no_memory);
    writer->slots_.reset(new (std::nothrow) Slot[kRequests]);
    if (!writer->slots_) return fail(Error::no_memory);
    return writer;
}

bool BatchWriter::extends(const Slot& slot, Lba lba, const IoSegment& piece) const {
    return slot.next == lba && slot.bytes + piece.bytes.size() <= limits_.max_request_bytes &&
           slot.used < std::min(kSegments, limits_.max_segments);
}

void BatchWriter::add(Lba lba, IoSegment piece) {
    const u64 sectors = piece.bytes.size() / kSectorSize;
    if (filled_ == 0 || !extends(slots_[filled_ - 1], lba, piece)) {
        if (filled_ == kRequests) send_and_wait();
        Slot& fresh = slots_[filled_++];
        fresh.request.lba = lba;
        fresh.used = 0;
        fresh.bytes = 0;
    }
    Slot& slot = slots_[filled_ - 1];
    IoSegment* const last = slot.used == 0 ? nullptr : &slot.segments[slot.used - 1];
    if (last != nullptr && last->bytes.data() + last->bytes.size() == piece.bytes.data() &&
        last->dma + last->bytes.size() == piece.dma &&
        last->bytes.size() + piece.bytes.size() <= limits_.max_segment_bytes)
        last->bytes = {last->bytes.data(), last->bytes.size() + piece.bytes.size()};
    else
        slot.segments[slot.used++] = piece;
    slot.bytes += piece.bytes.size();
    slot.next = Lba(lba.raw + sectors);
}

void BatchWriter::request_done(BlockRequest& r) {
    auto& writer = *static_cast<BatchWriter*>(r.context);
    if (writer.outstanding_.fetch_sub(1, std::memory_order_acq_rel) == 1) writer.all_done_.set();
}

void BatchWriter::send_and_wait() {
    if (filled_ == 0) return;
    outstanding_.store(filled_, std::memory_order_relaxed);
    for (u32 i = 0; i < filled_; ++i) {
        Slot& slot = slots_[i];
        slot.request.op = BlockRequest::Op::write;
        slot.request.data = {slot.segments, slot.used};
        slot.request.error.reset();
        slot.request.quarantined = false;
        slot.request.context = this;
        slot.request.done = request_done;
        device_.submit(slot.request);
    }
    device_.flush_submissions();
    all_done_.wait();
    requests_ += filled_;
    for (u32 i = 0; i < filled_; ++i) {
        if (slots_[i].request.error && !error_) error_ = slots_[i].request.error;
        quarantined_ |= slots_[i].request.quarantined;
    }
    filled_ = 0;
}

Result<> BatchWriter::finish() {
    send_and_wait();
    if (const auto error = std::exchange(error_, std::nullopt)) return fail(*error);
    return {};
}

Result<> BatchWriter::finish_and_flush() {
    if (auto done = finish(); !done) return done;
    BlockRequest flush;
    flush.op = BlockRequest::Op::flush;
    return device_.run(flush);
}

}  // namespace ringlet::fs
