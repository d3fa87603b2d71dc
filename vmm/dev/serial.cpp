#include "vmm/dev/serial.hpp"

#include <algorithm>
#include <utility>

namespace ringside::dev {
namespace {

// Registers and bits as in the 16550D data sheet and <linux/serial_reg.h>.
enum Offset : std::uint16_t { kData, kIer, kIir, kLcr, kMcr, kLsr, kMsr, kScr };

constexpr std::uint8_t kIerReceive = 0x01;
constexpr std::uint8_t kIerTransmit = 0x02;
constexpr std::uint8_t kIerLineStatus = 0x04;
constexpr std::uint8_t kIerModemStatus = 0x08;
constexpr std::uint8_t kIerBits = 0x0f;

constexpr std::uint8_t kIirNone = 0x01;
constexpr std::uint8_t kIirModemStatus = 0x00;
constexpr std::uint8_t kIirTransmit = 0x02;
constexpr std::uint8_t kIirReceive = 0x04;
constexpr std::uint8_t kIirLineStatus = 0x06;
constexpr std::uint8_t kIirTimeout = 0x0c;
constexpr std::uint8_t kIirFifos = 0xc0;

constexpr std::uint8_t kFcrEnable = 0x01;
constexpr std::uint8_t kFcrClearReceiver = 0x02;

constexpr std::uint8_t kLcrDlab = 0x80;

constexpr std::uint8_t kMcrDtr = 0x01;
constexpr std::uint8_t kMcrRts = 0x02;
constexpr std::uint8_t kMcrOut1 = 0x04;
constexpr std::uint8_t kMcrOut2 = 0x08;
constexpr std::uint8_t kMcrLoop = 0x10;
constexpr std::uint8_t kMcrBits = 0x1f;

constexpr std::uint8_t kLsrDataReady = 0x01;
constexpr std::uint8_t kLsrOverrun = 0x02;
constexpr std::uint8_t kLsrTransmitterEmpty = 0x60;  // holding register and shift register

constexpr std::uint8_t kMsrCts = 0x10;
constexpr std::uint8_t kMsrDsr = 0x20;
constexpr std::uint8_t kMsrRi = 0x40;
constexpr std::uint8_t kMsrDcd = 0x80;
constexpr std::uint8_t kMsrTrailingRi = 0x04;

constexpr std::size_t kFifoBytes = 16;
constexpr std::size_t kBacklogBytes = 4096;
constexpr std::size_t kLineBytes = 4096;

}  // namespace

Serial::Serial(IrqLine irq, Sink sink, std::function<void()> waits)
    : irq_(std::move(irq)), sink_(std::move(sink)), waits_(std::move(waits)) {
  line_.reserve(kLineBytes);
}

std::size_t Serial::receive(std::string_view input) {
  const std::lock_guard lock(mutex_);
  const std::size_t taken = std::min(input.size(), kBacklogBytes - backlog_.size());
  backlog_.insert(backlog_.end(), input.begin(), input.begin() + static_cast<std::ptrdiff_t>(taken));
  refill();
  update_irq();
  return taken;
}

void Serial::flush() {
  const std::lock_guard lock(mutex_);
  hand_over();
}

void Serial::reset() {
  const std::lock_guard lock(mutex_);
  hand_over();
  regs_ = {};
  fifo_.clear();
  backlog_.clear();
  update_irq();
}

std::uint8_t Serial::read_byte(std::uint16_t offset) {
  const std::lock_guard lock(mutex_);
  const bool divisor = (regs_.lcr & kLcrDlab) != 0;
  switch (offset) {
    case kData:
      return divisor ? static_cast<std::uint8_t>(regs_.divisor) : read_receiver();
    case kIer:
      return divisor ? static_cast<std::uint8_t>(regs_.divisor >> 8) : regs_.ier;
    case kIir:
      return read_iir();
    case kLcr:
      return regs_.lcr;
    case kMcr:
      return regs_.mcr;
    case kLsr:
      return read_lsr();
    case kMsr:
      return read_msr();
    case kScr:
      return regs_.scr;
    default:
      return 0xff;
  }
}

void Serial::write_byte(std::uint16_t offset, std::uint8_t value) {
  const std::lock_guard lock(mutex_);
  const bool divisor = (regs_.lcr & kLcrDlab) != 0;
  switch (offset) {
    case kData:
      if (!divisor) return transmit(value);
      regs_.divisor = static_cast<std::uint16_t>((regs_.divisor & 0xff00) | value);
      return;
    case kIer:
      if (!divisor) return write_ier(value);
      regs_.divisor = static_cast<std::uint16_t>((regs_.divisor & 0x00ff) | value << 8);
      return;
    case kIir:
      return write_fcr(value);
    case kLcr:
      regs_.lcr = value;
      return;
    case kMcr:
      return write_mcr(value);
    case kScr:
      regs_.scr = value;
      return;
    default:
      return;  // LSR and MSR are factory test only
  }
}

bool Serial::fifo_enabled() const { return (regs_.fcr & kFcrEnable) != 0; }

void Serial::refill() {
  // In loopback the receiver is cut off from the line.
  if ((regs_.mcr & kMcrLoop) != 0) return;
  const std::size_t room = fifo_enabled() ? kFifoBytes : 1;
  while (fifo_.size() < room && !backlog_.empty()) {
    fifo_.push_back(backlog_.front());
    backlog_.pop_front();
  }
}

std::uint8_t Serial::read_receiver() {
  if (fifo_.empty()) return 0;
  const std::uint8_t value = fifo_.front();
  fifo_.pop_front();
  refill();
  update_irq();
  return value;
}

void Serial::transmit(std::uint8_t value) {
  if ((regs_.mcr & kMcrLoop) != 0) {
    if (fifo_.size() < (fifo_enabled() ? kFifoBytes : 1)) {
      fifo_.push_back(value);
    } else {
      regs_.overrun = kLsrOverrun;
    }
  } else {
    line_.push_back(static_cast<char>(value));
    if (value == '\n' || line_.size() >= kLineBytes) {
      hand_over();
    } else if (line_.size() == 1 && waits_) {
      waits_();
    }
  }
  // Writing takes the interrupt back, and sending at once raises it again.  A line that is high stays so: its
  // edge is latched, the driver has not looked yet, and each change would be a system call.
  regs_.thre_pending = true;
  update_irq();
}

void Serial::hand_over() {
  if (line_.empty()) return;
  if (sink_) sink_(line_);
  line_.clear();
}

// Highest priority first (data sheet, table IV).
std::uint8_t Serial::interrupt_id() const {
  if ((regs_.ier & kIerLineStatus) != 0 && regs_.overrun != 0) return kIirLineStatus;
  if ((regs_.ier & kIerReceive) != 0 && !fifo_.empty()) {
    constexpr std::array<std::size_t, 4> kTrigger{1, 4, 8, 14};
    const bool reached = !fifo_enabled() || fifo_.size() >= kTrigger[regs_.fcr >> 6];
    return reached ? kIirReceive
                   : kIirTimeout;  // on a line without speed, four character times are over at once
  }
  if ((regs_.ier & kIerTransmit) != 0 && regs_.thre_pending) return kIirTransmit;
  if ((regs_.ier & kIerModemStatus) != 0 && regs_.msr_delta != 0) return kIirModemStatus;
  return kIirNone;
}

// Reading takes back a transmitter interrupt, if that is what it reports; the others go with their cause.
std::uint8_t Serial::read_iir() {
  const std::uint8_t id = interrupt_id();
  if (id == kIirTransmit) {
    regs_.thre_pending = false;
    update_irq();
  }
  return static_cast<std::uint8_t>(id | (fifo_enabled() ? kIirFifos : 0));
}

std::uint8_t Serial::read_lsr() {
  const auto value =
      static_cast<std::uint8_t>(kLsrTransmitterEmpty | regs_.overrun | (fifo_.empty() ? 0 : kLsrDataReady));
  if (regs_.overrun != 0) {
    regs_.overrun = 0;
    update_irq();
  }
  return value;
}

// A peer that is always ready; in loopback our own outputs (data sheet 8.6 "Loop": DTR-DSR, RTS-CTS, OUT1-RI,
// OUT2-DCD), which is how Linux recognises a UART.
std::uint8_t Serial::modem_lines() const {
  if ((regs_.mcr & kMcrLoop) == 0) return kMsrDcd | kMsrDsr | kMsrCts;
  std::uint8_t lines = 0;
  if ((regs_.mcr & kMcrDtr) != 0) lines |= kMsrDsr;
  if ((regs_.mcr & kMcrRts) != 0) lines |= kMsrCts;
  if ((regs_.mcr & kMcrOut1) != 0) lines |= kMsrRi;
  if ((regs_.mcr & kMcrOut2) != 0) lines |= kMsrDcd;
  return lines;
}

std::uint8_t Serial::read_msr() {
  const auto value = static_cast<std::uint8_t>(modem_lines() | regs_.msr_delta);
  regs_.msr_delta = 0;
  update_irq();
  return value;
}

void Serial::write_mcr(std::uint8_t value) {
  const std::uint8_t before = modem_lines();
  regs_.mcr = value & kMcrBits;
  const std::uint8_t after = modem_lines();
  const auto changed = static_cast<std::uint8_t>(before ^ after);
  // Bits 0-3 say what changed, except that RI counts when it ends only.
  regs_.msr_delta |= static_cast<std::uint8_t>((changed & (kMsrCts | kMsrDsr | kMsrDcd)) >> 4);
  if ((changed & before & kMsrRi) != 0) regs_.msr_delta |= kMsrTrailingRi;
  refill();
  update_irq();
}

void Serial::write_ier(std::uint8_t value) {
  const std::uint8_t before = std::exchange(regs_.ier, value & kIerBits);
  // Enabling the interrupt of an empty transmitter raises it: how Linux begins to send, and what it tests for
  // (serial8250_THRE_test).
  if ((~before & regs_.ier & kIerTransmit) != 0) regs_.thre_pending = true;
  update_irq();
}

void Serial::write_fcr(std::uint8_t value) {
  const bool was_enabled = fifo_enabled();
  regs_.fcr = value;
  if ((value & kFcrClearReceiver) != 0 || was_enabled != fifo_enabled()) fifo_.clear();
  refill();
  update_irq();
}

// On a PC, OUT2 connects the UART to its interrupt line; loopback takes the pin away.
void Serial::update_irq() {
  const bool connected = (regs_.mcr & (kMcrOut2 | kMcrLoop)) == kMcrOut2;
  const bool level = connected && interrupt_id() != kIirNone;
  if (level == irq_level_) return;
  irq_level_ = level;
  if (irq_) irq_(level);
}

}  // namespace ringside::dev
