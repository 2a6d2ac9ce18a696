"""Unrolled GAN."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from gan_lab import collectives
from gan_lab.losses import minimax
from gan_lab.models.adversarial import GANModule

Judge = Callable[[Tensor], Tensor]  # samples -> logits


class UnrolledGAN(GANModule):
    """Unrolled GAN (Metz et al. 2017, section 2.2): G meets the D that would be there after k more steps.

    D, every batch: -mean[log D(x) + log(1 - D(G(z)))], one ordinary step.
    G, every n_critic-th batch, at theta_k, where theta_0 are D's parameters, theta_i comes from theta_(i - 1) by a step
    on D's loss, and the gradient flows through all of them: mean[log D(x) + log(1 - D(G(z)))] (saturating;
    its first term depends on G by theta_k), or -mean[log D(G(z))] (non-saturating). With k = 0 this is `GAN`.

    The steps are Adam's, as in the paper, and go on from the moments of D's own optimizer, as in the authors' demo.
    All k see the same samples, as there: the fakes of G's loss, and as many fresh reals. They are simulated: D, its
    buffers and its optimizer stay. D's configured regularizers have no part in them, and with micro-batches those of a
    micro-batch see that micro-batch alone.

    Args:
        generator_loss: "saturating", as in the authors' demo on Gaussians, or "non_saturating".
        unrolled_steps: k, 0 or more (paper: 0 to 10).
        unrolled_lr: learning rate of these steps, more than 0; None for D's own at the time (demo).
        real_target: what D(x) should be: 1, or less for one-sided label smoothing (Salimans et al. 2016, section 3.4).
        **settings: see `GANModule` and `Plumbing`. D's optimizer is Adam, without decay of weights.
    """

    def __init__(
        self,
        *,
        generator_loss: str,
        unrolled_steps: int,
        unrolled_lr: float | None,
        real_target: float,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.real_target = minimax.checked_target(real_target)
        self.saturating = minimax.checked_generator_loss(generator_loss) is minimax.generator_loss_saturating
        if unrolled_steps < 0:
            raise ValueError(f"unrolled_steps must be 0 or more, got {unrolled_steps}")
        if unrolled_lr is not None and unrolled_lr <= 0:
            raise ValueError(f"unrolled_lr must be more than 0, got {unrolled_lr}")
        self.unrolled_steps, self.unrolled_lr = unrolled_steps, unrolled_lr

    def on_fit_start(self) -> None:
        super().on_fit_start()
        optimizer = self._optimizers["discriminator"].optimizer
        plain = not any(group.get("weight_decay") or group.get("amsgrad") for group in optimizer.param_groups)
        if self.unrolled_steps and not (isinstance(optimizer, torch.optim.Adam) and plain):
            raise ValueError(
                f"unrolled_gan simulates steps of Adam, and D's optimizer is {type(optimizer).__name__}"
                + ("" if plain else " with weight_decay or amsgrad")
                + "; set model.optimizers.discriminator._target_=torch.optim.Adam, without these"
            )

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"]
                with torch.no_grad():
                    fake = self.generator(self.latents(len(real)))
                logits = {
                    "real_logits": self.discriminator(self.augmented(real, instead=fake)),
                    "fake_logits": self.discriminator(self.augmented(fake)),
                }
                loss = minimax.discriminator_loss(**logits, real_target=self.real_target).mean()
                step(loss + self.regularization("discriminator", real=real, fake=fake, **logits))
                self.record("loss/d", loss)
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_micro_batches():
                latents = self.latents(count)
                fake = self.generator(latents)
                shown = self.augmented(fake)
                fresh = self.augmented(self.reals(count)["real"], instead=fake) if self.unrolled_steps else None
                judge = self.unrolled(fresh, shown)
                logits = {"fake_logits": judge(shown)}
                loss = self.top_k_mean(self.generator_losses(judge, fresh, **logits), **logits)
                step(loss + self.regularization("generator", fake=fake, latents=latents, **logits))
                self.record("loss/g", loss)

    def generator_losses(self, judge: Judge, real: Tensor | None, *, fake_logits: Tensor) -> Tensor:
        """(B,) of G at the D that `judge` is; `real` are those of its steps, None of none, as D gets to see them."""
        if not self.saturating:
            return minimax.generator_loss_non_saturating(fake_logits=fake_logits)
        if real is None:  # log D(x) has no slope in G
            return minimax.generator_loss_saturating(fake_logits=fake_logits)
        logits = {"real_logits": judge(real), "fake_logits": fake_logits}
        return -minimax.discriminator_loss(**logits, real_target=self.real_target)

    def unrolled(self, real: Tensor | None, fake: Tensor) -> Judge:
        """D as k more steps would make it, with a graph to `fake`; on the same for all ranks.

        Args:
            real: (B, *sample_shape) as D gets to see them; None: no steps.
            fake: as `real`, of G.
        """
        if real is None:
            return self.discriminator
        optimizer = self._optimizers["discriminator"].optimizer
        (group,) = optimizer.param_groups
        stepped = {name: p for name, p in self.discriminator.named_parameters() if p in optimizer.state}
        sizes = [p.numel() for p in stepped.values()]
        buffers = {name: buffer.clone() for name, buffer in self.discriminator.named_buffers()}

        def moment(name: str) -> Tensor:
            """(n,) of theta. Adam counts steps on the CPU where it is not fused: a factor that no device waits for."""
            return torch.cat([(torch.ones_like(p) * optimizer.state[p][name]).flatten() for p in stepped.values()])

        def judge(samples: Tensor, theta: Tensor) -> Tensor:
            parts = zip(stepped.items(), theta.split(sizes), strict=True)
            parameters = {name: part.view_as(p) for (name, p), part in parts}
            with torch.autocast(samples.device.type, enabled=False):  # these passes are differentiated twice
                return functional_call(self.discriminator, parameters | buffers, (samples.to(theta.dtype),))

        theta = torch.cat([p.detach().flatten() for p in stepped.values()]).requires_grad_()
        mean, square, steps = moment("exp_avg"), moment("exp_avg_sq"), moment("step")
        rate = group["lr"] if self.unrolled_lr is None else self.unrolled_lr
        for _ in range(self.unrolled_steps):
            logits = {"real_logits": judge(real, theta), "fake_logits": judge(fake, theta)}
            loss = minimax.discriminator_loss(**logits, real_target=self.real_target).mean()
            (own,) = torch.autograd.grad(loss, theta, create_graph=True)
            gradient, steps = collectives.mean(own), steps + 1
            mean, square, move = adam(gradient, mean, square, steps, betas=group["betas"], eps=group["eps"])
            theta = theta - rate * move
        return lambda samples: judge(samples, theta)


def adam(
    gradient: Tensor, mean: Tensor, square: Tensor, steps: Tensor, *, betas: tuple[float, float], eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of Adam, differentiable in the gradient (Kingma and Ba 2015, algorithm 1).

    Args:
        gradient: (n,) of the parameters.
        mean, square: (n,) moments before the step.
        steps: (n,) number of this step, from 1.
        betas, eps: Adam's.
    Returns:
        (n,) moments after the step, and (n,) what is subtracted from the parameters, before the learning rate.
    """
    mean = betas[0] * mean + (1 - betas[0]) * gradient
    square = betas[1] * square + (1 - betas[1]) * gradient.square()
    unbiased = square / (1 - betas[1] ** steps)
    moved = unbiased > 0  # a root has no slope at zero
    root = torch.where(moved, torch.where(moved, unbiased, 1.0).sqrt(), 0.0)
    return mean, square, mean / (1 - betas[0] ** steps) / (root + eps)
