// A 16550A UART as Linux's 8250 driver knows it: the guest's console.  The line has no speed: what is sent
// has left at once, so the transmitter is always empty.
//
// A boot prints about 20,000 characters, each two exits; so the path of a character is short, and the sink
// sees lines (or 4 KiB, or what flush() finds), not characters.
//
// Thread: registers on vCPU threads, receive() and flush() on any.  The sink and the interrupt line are
// called with the mutex held: neither may call back in.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "vmm/dev/bus.hpp"

namespace ringside::dev {

class Serial final : public BytePortDevice {
 public:
  static constexpr std::uint16_t kPorts = 8;
  using Sink = std::function<void(std::string_view)>;

  // `waits` is called when the first character of a line has come and is kept back: flush() is due soon.
  Serial(IrqLine irq, Sink sink, std::function<void()> waits = {});

  // Input for the guest.  Returns how many bytes were taken: the rest waits until the guest has read some.
  std::size_t receive(std::string_view input);
  // Hands over what was printed since the last line's end.
  void flush();
  void reset();

 private:
  // The registers' power-on values (16550D data sheet, table I).
  struct Registers {
    std::uint8_t ier = 0;
    std::uint8_t fcr = 0;
    std::uint8_t lcr = 0;
    std::uint8_t mcr = 0;
    std::uint8_t scr = 0;
    std::uint8_t msr_delta = 0;
    std::uint8_t overrun = 0;  // LSR bit, until LSR is read
    std::uint16_t divisor = 12;
    bool thre_pending = false;
  };

  std::uint8_t read_byte(std::uint16_t offset) override;
  void write_byte(std::uint16_t offset, std::uint8_t value) override;

  std::uint8_t read_receiver();
  std::uint8_t read_iir();
  std::uint8_t read_lsr();
  std::uint8_t read_msr();
  std::uint8_t interrupt_id() const;
  std::uint8_t modem_lines() const;
  void transmit(std::uint8_t value);
  void write_ier(std::uint8_t value);
  void write_fcr(std::uint8_t value);
  void write_mcr(std::uint8_t value);
  void refill();
  void hand_over();
  void update_irq();
  bool fifo_enabled() const;

  std::mutex mutex_;  // why not an inbox: bus.hpp
  const IrqLine irq_;
  const Sink sink_;
  const std::function<void()> waits_;
  Registers regs_;
  std::deque<std::uint8_t> fifo_;     // what the guest can read: 16 bytes, 1 with the FIFO off
  std::deque<std::uint8_t> backlog_;  // accepted and not yet in the FIFO
  std::string line_;
  bool irq_level_ = false;
};

}  // namespace ringside::dev
