"""InfoGAN."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gan_lab.losses import minimax
from gan_lab.losses.gaussian import negative_log_likelihood
from gan_lab.models.adversarial import GANModule
from gan_lab.sampling import CodedInputs


class InfoGAN(GANModule):
    """InfoGAN (Chen et al. 2016): a part of the latent, the code c, can be read off the picture.

    L_I = mean[log Q(c | G(z, c))] + H(c), a lower bound of the mutual information of c and G(z, c) (equation 5), for
    the categorical codes and for the continuous ones; Q is a further head on D's features: a softmax for each
    categorical code, and for each continuous one the mean of a normal distribution of variance 1, as in the authors'
    code for MNIST (the paper's has a learnt variance).

    D and Q, every batch: -mean[log D(x) + log(1 - D(G(z, c)))] - lambda L_I.
    G, every n_critic-th batch: -mean[log D(G(z, c))] - lambda L_I.

    Equation 6 has Q and G minimize -lambda L_I. Here Q and the layers that it shares with D are stepped in D's phase,
    as in the authors' code; what is added to D's loss does not play against G.

    Args:
        code_head: from D's number of features, and `outputs`, to a network (B, features) -> (B, outputs).
        categorical_codes: number of categories of each categorical code (MNIST: one of 10).
        continuous_codes: number of continuous codes, 0 or more (MNIST: 2).
        categorical_weight, continuous_weight: lambda for either kind, 0 or more (authors' code: 1; the paper has it
            smaller where there are continuous codes, without a number).
        real_target: what D(x) should be: 1, or less for one-sided label smoothing (Salimans et al. 2016, section 3.4).
        **settings: see `GANModule` and `Plumbing`; `latent_dim` is of noise and codes together.

    Raises:
        ValueError: codes that make no sense (see `CodedInputs`), or a D without features.
    """

    groups = {"discriminator": ("discriminator", "code_head"), "generator": ("generator",)}
    inputs: CodedInputs

    def __init__(
        self,
        *,
        code_head: Callable[..., nn.Module],
        categorical_codes: Sequence[int],
        continuous_codes: int,
        categorical_weight: float,
        continuous_weight: float,
        real_target: float,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.real_target = minimax.checked_target(real_target)
        law = settings["latent_distribution"]
        self.inputs = CodedInputs(settings["latent_dim"], law, categorical_codes, continuous_codes)
        for name, weight in (("categorical_weight", categorical_weight), ("continuous_weight", continuous_weight)):
            if weight < 0:
                raise ValueError(f"{name} must be 0 or more, got {weight}")
        self.categorical_weight, self.continuous_weight = categorical_weight, continuous_weight
        self.code_head = code_head(self.feature_dim(), outputs=self.inputs.code_dim)

    @classmethod
    def inputs_from(cls, settings: Mapping[str, Any]) -> CodedInputs:
        codes = settings["categorical_codes"], settings["continuous_codes"]
        return CodedInputs(settings["latent_dim"], settings["latent_distribution"], *codes)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"]
                latents = self.latents(len(real))
                with torch.no_grad():
                    fake = self.generator(latents)
                real_logits = self.discriminator(self.augmented(real, instead=fake))
                fake_logits, code_loss, read = self.judge_and_read(self.augmented(fake), latents)
                logits = {"real_logits": real_logits, "fake_logits": fake_logits}
                loss = minimax.discriminator_loss(**logits, real_target=self.real_target).mean()
                step(loss + code_loss + self.regularization("discriminator", real=real, fake=fake, **logits))
                self.record("loss/d", loss)
                for name, value in read.items():
                    self.record(name, value)
                self.record_logits(**logits)
        if not self.generator_turn():
            return
        with self.updating("generator") as step:
            for count in self.generator_micro_batches():
                latents = self.latents(count)
                fake = self.generator(latents)
                fake_logits, code_loss, _ = self.judge_and_read(self.augmented(fake), latents)
                loss = self.top_k_mean(
                    minimax.generator_loss_non_saturating(fake_logits=fake_logits), fake_logits=fake_logits
                )
                extras = self.regularization("generator", fake=fake, latents=latents, fake_logits=fake_logits)
                step(loss + code_loss + extras)
                self.record("loss/g", loss)

    def judge_and_read(self, images: Tensor, latents: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """One pass of D and Q over fakes.

        Args:
            images: (B, *sample_shape) of G, as D gets to see them.
            latents: (B, latent_dim) that made them.
        Returns:
            (B,) logits; lambda times the mean of -log Q(c | image), without the constant H(c); and for the curves the
            two kinds' L_I in nats, summed over codes, and the share of categorical codes read rightly.
        """
        features = self.discriminator.features(images)  # type: ignore[operator]
        sizes = (*self.inputs.categorical, self.inputs.continuous)
        *guesses, mean = self.code_head(features).float().split(sizes, dim=1)
        categorical, continuous = self.inputs.codes(latents)
        losses = [cross_entropy(guess, code) for guess, code in zip(guesses, categorical, strict=True)]
        misread = torch.stack(losses).sum() if losses else features.new_zeros(())
        missed = negative_log_likelihood(values=continuous, mean=mean, deviation=1.0).mean()
        read = {
            "information/categorical": sum(map(math.log, self.inputs.categorical)) - misread,
            "information/continuous": self.inputs.continuous * math.log(2) - missed,
        }
        if losses:
            right = [guess.argmax(1) == code for guess, code in zip(guesses, categorical, strict=True)]
            read["accuracy/code"] = torch.stack(right).float()
        loss = self.categorical_weight * misread + self.continuous_weight * missed
        return self.discriminator.judge(features), loss, read  # type: ignore[operator]
