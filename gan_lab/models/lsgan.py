"""Least-squares GAN."""

import torch
from torch import Tensor

from gan_lab.losses import least_squares
from gan_lab.models.adversarial import GANModule


class LSGAN(GANModule):
    """Least-squares GAN (Mao et al. 2017, equation 9: fakes to 0, reals to 1, and for G fakes to 1).

    D, every batch: 1/2 mean[(D(x) - 1)^2] + 1/2 mean[D(G(z))^2].
    G, every n_critic-th batch: 1/2 mean[(D(G(z)) - 1)^2].
    """

    boundary = 0.5  # half way between the targets

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for piece in self.pieces(batch):
                real = piece["real"]
                with torch.no_grad():
                    fake = self.generator(self.latents(len(real)))
                real_logits = self.discriminator(self.seen(real))
                fake_logits = self.discriminator(self.seen(fake))
                loss = least_squares.discriminator_loss(real_logits=real_logits, fake_logits=fake_logits).mean()
                step(loss + self.extras("discriminator", real=real, fake=fake))
                self.record("loss/d", loss)
                self.record("logits/real", real_logits)
                self.record("logits/fake", fake_logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_pieces():
                fake_logits = self.discriminator(self.seen(self.generator(self.latents(count))))
                loss = least_squares.generator_loss(fake_logits=fake_logits).mean()
                step(loss)
                self.record("loss/g", loss)
