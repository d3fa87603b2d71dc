#include "stub/hub/kernel_keeper.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include "arch/x86/paging.hpp"
#include "stub/hub/symbol_file.hpp"

namespace ringside::hub {
namespace {

constexpr std::uint64_t kPtiUserHalf = 0x1000;  // of CR3: the tables without the kernel (arch/x86/mm/pti.c)
constexpr std::uint64_t kLargestImage = 128u << 20;

Unexpected<Error> too_early() {
  return fail(Errc::kBusy, "no Linux kernel is in its place yet, or the guest is not Linux");
}

// The tables that have the kernel in them.
std::optional<x86::PagingState> kernel_half(x86::PagingState paging, Gva hint, const PhysicalMemory& memory) {
  if (hint.value == 0) return std::nullopt;
  if (x86::walk(paging, hint, memory)) return paging;
  paging.cr3 &= ~kPtiUserHalf;
  if (x86::walk(paging, hint, memory)) return paging;
  return std::nullopt;
}

}  // namespace

KernelKeeper::KernelKeeper(boost::asio::any_io_executor executor, api::Machine& machine)
    : executor_(std::move(executor)), machine_(machine), retry_(executor_) {}

KernelKeeper::~KernelKeeper() = default;

void KernelKeeper::ask(std::shared_ptr<const PointSnapshot> points, Answer done) {
  if (known_) {
    done(known_->kernel);
    return;
  }
  waiting_.push_back(std::move(done));
  look(std::move(points));
}

void KernelKeeper::ask_until_known(std::function<std::shared_ptr<const PointSnapshot>()> points,
                                   std::function<void()> known) {
  constexpr std::chrono::milliseconds kPause{300};
  if (std::exchange(retrying_, true)) return;
  retry_.expires_after(kPause);
  retry_.async_wait([this, alive = std::weak_ptr(alive_), points = std::move(points),
                     known = std::move(known)](boost::system::error_code) mutable {
    if (alive.expired() || !std::exchange(retrying_, false)) return;
    auto now = points();
    if (!now) return;
    ask(std::move(now), [this, points = std::move(points), known = std::move(known)](auto found) mutable {
      if (found) {
        known();
      } else {
        ask_until_known(std::move(points), std::move(known));
      }
    });
  });
}

// What is known of one before it is void.
void KernelKeeper::found_at(const ImagePlace& place) {
  const bool same = known_ && known_->image.text == place.text && known_->image.where == place.where;
  if (known_ && !same) forget();
  place_ = place;
}

void KernelKeeper::forget() {
  place_.reset();
  ++life_;
  known_.reset();
  file_.reset();
  retrying_ = false;
  retry_.cancel();
}

std::unique_ptr<VirtualMemory> KernelKeeper::memory(std::shared_ptr<const PointSnapshot> points) const {
  if (!known_) return nullptr;
  const PhysicalMemory& memory = machine_.memory();
  return std::make_unique<KernelMemory>(memory, known_->image, known_->paging(memory), std::move(points));
}

void KernelKeeper::look(std::shared_ptr<const PointSnapshot> points) {
  if (std::exchange(searching_, true)) return;
  const auto& kernel = machine_.info().kernel;
  if (place_) {
    search({*place_, {}, place_->text}, std::move(points));
  } else if (kernel && kernel->at && kernel->slide && kernel->bytes > 0) {
    const Gva text = kernel->link_text + *kernel->slide;
    search({{text, *kernel->at, kernel->bytes}, {}, text}, std::move(points));
  } else {
    look_from_cpu(std::move(points));
  }
}

void KernelKeeper::look_from_cpu(std::shared_ptr<const PointSnapshot> points) {
  machine_.vcpu(VcpuId{0}).post([this, alive = std::weak_ptr(alive_), executor = executor_,
                                 points = std::move(points)](api::VcpuAccess& access) mutable {
    View view{{}, access.context().paging, {}};
    auto registers = std::make_unique<x86::RegisterFile>();
    if (access.read(x86::RegGroup::kMsr, *registers) && registers->available(x86::Reg::kMsrLstar))
      view.hint = Gva{registers->u64(x86::Reg::kMsrLstar)};
    boost::asio::post(executor, [this, alive = std::move(alive), view, points = std::move(points)]() mutable {
      if (!alive.expired()) search(view, std::move(points));
    });
  });
}

// Whether anything is to be seen there, is asked here: a guest without a kernel costs no thread.
void KernelKeeper::search(const View& view, std::shared_ptr<const PointSnapshot> points) {
  if (view.image.bytes == 0 && !kernel_half(view.paging, view.hint, machine_.memory())) {
    finished(life_, too_early());
    return;
  }
  thread_ = std::jthread([this, view, points = std::move(points), life = life_, executor = executor_,
                          alive = std::weak_ptr(alive_),
                          &memory = std::as_const(machine_.memory())]() mutable {
    auto found = find(view, memory, std::move(points));
    boost::asio::post(executor, [this, alive = std::move(alive), life, found = std::move(found)]() mutable {
      if (!alive.expired()) finished(life, std::move(found));
    });
  });
}

// Thread: the search's.
Result<std::shared_ptr<const KnownKernel>> KernelKeeper::find(const View& view, const PhysicalMemory& memory,
                                                              std::shared_ptr<const PointSnapshot> points) {
  const x86::PagingState paging = kernel_half(view.paging, view.hint, memory).value_or(view.paging);
  const KernelMemory kernel_memory(memory, view.image, paging, std::move(points));
  KnownKernel known;
  known.kernel = RS_TRY(guestos::recognise(kernel_memory, view.hint));
  known.image = view.image;
  if (view.image.bytes == 0) {
    const Gva text = known.kernel->link_text() + known.kernel->slide();
    const Gva end = known.kernel->symbol("_end").value_or(text + kLargestImage);
    const auto leaf = x86::walk(paging, text, memory);
    if (!leaf) return too_early();
    known.image = {text, leaf->gpa, std::min<std::uint64_t>(end - text, kLargestImage)};
  }
  const auto place = [&known](std::string_view symbol) -> std::optional<Gpa> {
    const auto at = known.kernel->symbol(symbol);
    return at ? known.image.find(*at) : std::nullopt;
  };
  known.page_table = place("init_top_pgt");
  known.five_levels = place("__pgtable_l5_enabled");
  return std::make_shared<const KnownKernel>(std::move(known));
}

void KernelKeeper::finished(std::uint64_t life, Result<std::shared_ptr<const KnownKernel>> found) {
  searching_ = false;
  if (life != life_) found = fail(Errc::kBusy, "the machine has been reset meanwhile");
  if (found) {
    known_ = *found;
    spdlog::info("guest: {}", known_->kernel->banner());
  }
  for (Answer& done : std::exchange(waiting_, {})) {
    if (found) {
      done((*found)->kernel);
    } else {
      done(unexpected(found.error()));
    }
  }
}

void KernelKeeper::symbol_file(std::shared_ptr<const PointSnapshot> points, tracer::Done<std::string> done) {
  if (file_) {
    done(*file_);
    return;
  }
  ask(std::move(points), [this, done = std::move(done)](auto kernel) mutable {
    if (!kernel) return done(unexpected(kernel.error()));
    waiting_for_file_.push_back(std::move(done));
    make_file();
  });
}

void KernelKeeper::make_file() {
  if (std::exchange(making_file_, true)) return;
  file_thread_ = std::jthread([this, kernel = known_->kernel, life = life_, executor = executor_,
                               alive = std::weak_ptr(alive_)]() mutable {
    auto file = symbol_file_for(*kernel);
    boost::asio::post(executor, [this, alive = std::move(alive), life, file = std::move(file)]() mutable {
      if (!alive.expired()) file_made(life, std::move(file));
    });
  });
}

void KernelKeeper::file_made(std::uint64_t life, Result<std::string> file) {
  making_file_ = false;
  if (life != life_) file = fail(Errc::kBusy, "the machine has been reset meanwhile");
  if (file) file_ = *file;
  for (auto& done : std::exchange(waiting_for_file_, {})) done(file);
}

}  // namespace ringside::hub
