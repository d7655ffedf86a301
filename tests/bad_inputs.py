"""The inputs of `test_bad_inputs.py`: what is written after `train.py`, and what must come of it.

They are written as for the shell. `DATA` stands for a folder with files of data. Where nothing else
is said, the refusal must name the key of the last override.
"""

import random
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

#: The ways to ask for a run, all of which must answer alike.
WAYS = ("run", "sweep", "dry_run", "train", "yaml")


class Trial(NamedTuple):
    """One input.

    Attributes:
        arguments: what stands after `train.py`.
        key: what the refusal must name; None where the input must be trained as written.
        result: what `result.json` must hold after the training; `runs` is the number of runs.
        way: one of `WAYS`.
    """

    arguments: tuple[str, ...]
    key: str | None
    result: dict[str, Any]
    way: str

    def __str__(self) -> str:
        return f"{self.way}: {shlex.join(self.arguments)}"[:120]


#: Refused, the key being that of the last override, or the one that is given.
REFUSED: dict[str, list[str | tuple[str, str]]] = {
    "groups": [
        ("task=shfit", "shfit"),
        ("model=tnc", "tnc"),
        ("optimizr=sgd", "optimizr"),
        ("schedular=cosine", "schedular"),
        ("+scheduler.T_max=5", "scheduler"),
        "task.input=white",
        "task=convolution task.filter=gauss",
        "model=null",
        "task=null",
        "optimizer=null",
        "trainer=null",
        "objective=null",
        ("~model", "model"),
        ("~task.input", "task.input"),
        "+callbacks.foo=1",
        ("model=[rnn,tcn]", "model"),
        ("model=[rnn,lstm]", "-m model=rnn,lstm"),
        ("lr=0.1", "did you mean 'optimizer.lr'"),
        ("scheduler=linear", "linear"),
        ("experiment=plateau_shfit", "plateau_shfit"),
        ("experiment=atlas", "experiment=glob(atlas/*)"),
        ("hydra/launcher=vmpa", "vmpa"),
        ("hydra/sweeper=grid", "grid"),
        ("task/input=wite", "wite"),
        ("task/filter=gaussian", "task/filter"),
        ("-m 'model=glob(x*)'", "glob(x*)"),
        ("model=rnn_schema", "model"),
        ("++model._target_=os.system", "os.system"),
        ("++model._target_=seq2seq.models.RNNN", "RNNN"),
        ("++model._target_=seq2seq.tasks.Shift", "seq2seq.tasks.Shift"),
        ("optimizer._partial_=false", "optimizer._partial_"),
        ("++model._partial_=true", "model._partial_"),
    ],
    "interpolations": [
        ("'task.k=${task.nothing}'", "task.nothing"),
        ("'task.k=${task.length}'", "k=16"),
        ("'task.k=${oc.env:SEQ2SEQ_NOTHING}'", "SEQ2SEQ_NOTHING"),
        ("'task.k=${nope:1}'", "nope"),
        "'task.k=${task.k}'",
        "'model.hidden_size=${optimizer.lr}'",
        "'seed=${seed}'",
        "'task.k=${mul:2,a}'",
    ],
    "quoting": [
        "task.k=4,8",
        ("task.k=4 8", "8"),
        ("=4", "=4"),
        ("task.k", "task.k"),
        "task.k=",
        "'task.k=[1'",
        "'task.k=${'",
        "'name=\"x'",
        "task.k==4",
        ("task=convolution 'task.filter=(1,2)'", "task.filter"),
        ("--confg=x", "--confg"),
        ("--cfg=jobb", "jobb"),
        ("--config-name=nothing", "nothing"),
        ("--run task.k=2", "--run"),
        ("--experimental-rerun=config.pickle", "--experimental-rerun"),
        ("-m 'optimizer.lr=interval(0,1)'", "optimizer.lr"),
        ("-m 'task.k=range(1,0)'", "task.k"),
        ("-m task.k=2,4,x", "task.k"),
        ("-m 'seed=range(0,1000000000)'", "seed"),
    ],
    "sizes": [
        "task.k=-1",
        "task.k=1e3",
        "task.k=2.5",
        "task.k=99999999999999999999999999",
        ("task.k=16", "k=16"),
        "task.length=0",
        "task.length=-5",
        "task.length=1000000000000",
        "task.train_size=0",
        "task.train_size=-1",
        "task.train_size=10000000000000",
        "task.val_size=0",
        "task.val_size=1000000000000",
        "task.test_size=-1",
        "task.batch_size=0",
        "task.batch_size=1000000000000",
        "task.channels=0",
        "task.channels=1000000000",
        "model.hidden_size=0",
        "model.hidden_size=-4",
        "model.hidden_size=1000000000",
        "model.num_layers=0",
        "model.num_layers=100000",
        "model=tcn model.num_layers=100",
        "model=tcn model.dilation_base=1000000",
        "model=tcn model.kernel_size=1000000000",
        "model=lru model.state_dim=100000000000",
        "seed=-1",
        "task.seed=-2",
        "threads=0",
        "threads=-3",
        "threads=1000000",
    ],
    "task": [
        "task.input.scale=nan",
        "task.input.scale=inf",
        "task.input.scale=0",
        "task.input.length_scale=nan",
        "task.input.length_scale=-1",
        "task.input.dt=0",
        "task/input=ar1 task.input.coefficient=1",
        "task/input=ar1 task.input.coefficient=nan",
        "task=lorenz96 task.h_x=nan",
        "task=lorenz96 task.epsilon=0",
        "task=lorenz96 task.dt=0",
        "task=lorenz96 task.dt=inf",
        "task=lorenz96 task.J=0",
        "task=lorenz96 task.initial_state=chaos",
        "task=lorenz96 task.perturbation=nan",
        "task=lorenz96 task.burn_in=-1",
        ("task=lorenz96_published task.skip=128", "task.skip=0"),
        ("task=lorenz96_published task.trajectories=10000000000", "task.trajectories"),
        "task=convolution 'task.filter=[]'",
        "task=convolution 'task.filter=[nan]'",
        "task=convolution 'task.filter=[1,inf]'",
        "task=convolution 'task.filter=[1e300]'",
        "task=convolution 'task.filter=[a]'",
        "task=convolution 'task.filter=[[1,2]]'",
        "task=convolution task/filter=gaussian task.filter.width=0",
        "task=convolution task/filter=gaussian task.filter.centre=nan",
        "task=convolution task/filter=exponential task.filter.rate=-1",
        "task=linear_functional task.dt=nan",
        ("task=arrays", "task.path"),
        "task=arrays task.path=DATA/nothing.npz",
        "task=arrays task.path=DATA",
        "task=arrays task.path=DATA/text.txt",
        "task=arrays task.path=DATA/only_x.npz",
        "task=arrays task.path=DATA/pairs.npz task.val_fraction=0",
        "task=arrays task.path=DATA/pairs.npz task.test_fraction=nan",
        ("task=arrays task.path=DATA/pairs.npz task.val_fraction=0.99", "task.val_fraction"),
        "task=text task.path=DATA/nothing.txt",
        "task=text task.path=DATA/pairs.npz",
        "task=text task.corpus=pydocs",
        "task=text task.level=chars",
        "task=text task.path=DATA/text.txt task.min_count=1000000",
        "task=text task.path=DATA/text.txt task.length=100000",
        (
            "task=text task.path=DATA/text.txt model=rnn model.hidden_size=4 task.batch_size=2000",
            "batch_size",
        ),
        "task=text task.path=DATA/text.txt task.val_fraction=1.5",
        "task=text task.path=DATA/text.txt task.embedding_size=0",
        "task=parity 'task.length=[5,3]'",
        "task=parity task.length=null",
        "task=parity task.supervise=last",
        "task=group_word task.group=M11",
        "task=mqar task.K=40",
        "task=mqar 'task.length=[8,64]'",
        "task=narma task.coefficients=[9,9,9,9]",
    ],
    "model": [
        "model.dropout=1.5",
        "model.dropout=-0.1",
        "model.dropout=nan",
        "model.gain=nan",
        "model.gain=inf",
        "model.cell=lsmt",
        "model.initialisation=zero",
        "model=transformer model.num_heads=3",
        "model=transformer model.num_heads=0",
        "model=transformer model.window=0",
        "model=deltanet model.conv=1000000",
        "model=deltanet model.householders=100000",
        "model=gla model.delta=true model.feature_map=elu",
        ("model=rg_lru model.min_radius=0", "set model.min_radius=0.999"),
        "model=transformer model.positional=learned model.max_length=4",
        "model=tcn model.kernel_size=0",
        "model=tcn model.dilation_base=0",
        "model=tcn model.activation=sigmoid",
        "model=lru model.min_radius=1.5",
        "model=lru model.max_radius=0.5",
        "model=lru model.max_phase=nan",
        "model=lru model.state_dim=0",
        "model=s4d model.dt_min=0",
        "model=s4d model.dt_max=1e-9",
        "model=diagonal_rnn model.min_decay=0",
        "model=diagonal_rnn model.dt=nan",
        ("objective=population model=tcn", "objective"),
        ("objective=population task=lorenz96", "objective"),
        "objective.horizon=lats",
    ],
    "optimizer": [
        "optimizer.lr=-1",
        "optimizer.lr=inf",
        "optimizer.lr=nan",
        "optimizer.betas=3",
        "'optimizer.betas=[0.9]'",
        "'optimizer.betas=[0.9,1]'",
        "'optimizer.betas=[0.9,0.99,0.999]'",
        "'optimizer.betas=[a,b]'",
        "optimizer.betas=null",
        "optimizer.eps=-1",
        "optimizer.eps=nan",
        "optimizer.weight_decay=-1",
        "optimizer.weight_decay=inf",
        "optimizer.foreach=true",
        "optimizer.differentiable=true",
        "optimizer.amsgrad=maybe",
        "optimizer=sgd optimizer.momentum=-0.1",
        "optimizer=sgd optimizer.momentum=nan",
        "optimizer=sgd optimizer.momentum=1",
        "optimizer=sgd optimizer.nesterov=true",
        "gradient_clip_val=0",
        "gradient_clip_val=nan",
        "gradient_clip_val=inf",
    ],
    "scheduler": [
        "scheduler=cosine scheduler.T_max=0",
        "scheduler=cosine scheduler.T_max=-5",
        "scheduler=cosine scheduler.eta_min=nan",
        "scheduler=cosine scheduler.last_epoch=5",
        "scheduler=one_cycle scheduler.pct_start=5",
        "scheduler=one_cycle scheduler.pct_start=-0.1",
        "scheduler=one_cycle scheduler.total_steps=3",
        "scheduler=one_cycle scheduler.total_steps=0",
        ("scheduler=one_cycle scheduler.total_steps=null", "total_steps"),
        "scheduler=one_cycle scheduler.max_lr=nan",
        "scheduler=one_cycle scheduler.max_lr=-1",
        "scheduler=one_cycle scheduler.div_factor=0",
        "scheduler=one_cycle scheduler.final_div_factor=0",
        "scheduler=one_cycle scheduler.anneal_strategy=cosine",
        "scheduler=plateau scheduler.factor=2",
        "scheduler=plateau scheduler.factor=nan",
        "scheduler=plateau scheduler.factor=-0.5",
        "scheduler=plateau scheduler.patience=-1",
        "scheduler=plateau scheduler.threshold_mode=foo",
        "scheduler=plateau scheduler.cooldown=-1",
    ],
    "trainer": [
        "trainer.accelerator=abacus",
        "trainer.accelerator=gpu",
        "trainer.devices=99",
        "trainer.devices=0",
        "trainer.devices=abc",
        "trainer.strategy=foo",
        "trainer.num_nodes=2",
        "trainer.num_nodes=0",
        "trainer.precision=8",
        "trainer.logger=true",
        "'trainer.callbacks=[]'",
        "trainer.fast_dev_run=true",
        "trainer.max_epochs=0",
        "trainer.max_epochs=-2",
        "trainer.min_epochs=3",
        "trainer.max_steps=0",
        "trainer.max_steps=-1",
        "trainer.max_steps=2.5",
        "trainer.max_steps=null",
        "trainer.max_time=abc",
        "trainer.limit_train_batches=3",
        "trainer.limit_val_batches=1",
        "trainer.num_sanity_val_steps=1",
        "trainer.limit_test_batches=0",
        "trainer.limit_predict_batches=1",
        "trainer.overfit_batches=1",
        "trainer.val_check_interval=0",
        "trainer.val_check_interval=-1",
        "trainer.val_check_interval=abc",
        "trainer.check_val_every_n_epoch=2",
        "trainer.log_every_n_steps=0",
        "trainer.log_every_n_steps=-1",
        "trainer.enable_checkpointing=true",
        "trainer.enable_progress_bar=abc",
        "trainer.accumulate_grad_batches=2",
        "trainer.gradient_clip_val=5",
        "trainer.gradient_clip_algorithm=value",
        "trainer.deterministic=maybe",
        "trainer.use_distributed_sampler=0.5",
        "trainer.profiler=foo",
        "trainer.barebones=true",
        "trainer.plugins=foo",
        "trainer.reload_dataloaders_every_n_epochs=1",
        "trainer.default_root_dir=elsewhere",
        "trainer.model_registry=x",
    ],
    "objective": [
        "task=mqar objective.horizon=last",
        "task=parity task.length=[3,9] objective.horizon=last",
    ],
    "callbacks": [
        "callbacks.stop_at_target.monitor=val/foo",
        "callbacks.stop_at_target.target=-1",
        "callbacks.stop_at_target.target=nan",
        "task=parity callbacks.stop_at_target.monitor=val/exact callbacks.stop_at_target.target=2",
        "callbacks.generalisation.values=[0]",
        "callbacks.generalisation.values=[64,64]",
        (
            "callbacks.generalisation.values=[64] callbacks.generalisation.key=lenght",
            "task.lenght; did you mean 'length'",
        ),
        "callbacks.generalisation.every_n_validations=0",
        "callbacks.checkpoints=null",
        "callbacks.checkpoints.every_n_steps=0",
        "callbacks.checkpoints.every_n_steps=null",
        "callbacks.checkpoints.every_n_seconds=-1",
        "callbacks.checkpoints.every_n_seconds=nan",
        "callbacks.snapshots.growth=1",
        "callbacks.snapshots.growth=nan",
        "callbacks.figures.sequences=0",
        "callbacks.figures.every_n_validations=-1",
        "callbacks.progress.refresh_per_second=0",
        "callbacks.progress.refresh_per_second=nan",
        (
            "'+callbacks.stop_after_escape={_target_:seq2seq.callbacks.StopAfterEscape,"
            "reference:memoryles}'",
            "callbacks.stop_after_escape.reference",
        ),
        (
            "'+callbacks.stop_after_escape={_target_:seq2seq.callbacks.StopAfterEscape,"
            "tolerance:0.5}'",
            "callbacks.stop_after_escape",
        ),
        (
            "'+callbacks.stop_after_escape={_target_:seq2seq.callbacks.StopAfterEscape,extra:nan}'",
            "callbacks.stop_after_escape.extra",
        ),
        (
            "'+callbacks.early={_target_:lightning.pytorch.callbacks.EarlyStopping,"
            "monitor:val/foo}'",
            "callbacks.early",
        ),
        (
            "'+callbacks.sum={_target_:lightning.pytorch.callbacks.GradientAccumulationScheduler,"
            "scheduling:{0:2}}'",
            "callbacks.sum",
        ),
        "callbacks.checkpoints=true",
    ],
    "logger": [
        ("logger=tensorbord", "tensorbord"),
        ("logger=wandb", "wandb"),
        ("logger=mlflow", "mlflow"),
        "logger=tensorboard logger.tensorboard.name=../../x",
        "logger=tensorboard logger.tensorboard.version=../../x",
        "logger=csv logger.csv.version=DATA/x",
        ("logger=csv +logger.csv.save_dir=DATA/x", "logger.csv.save_dir"),
        "logger=csv +logger.csv.flush_logs_every_n_steps=0",
        "logger=csv +logger.foo=1",
    ],
    "paths": [
        "name=../../x",
        "name=DATA/x",
        "name=..",
        "name=''",
        "'name=\"a\nb\"'",
        f"name={'n' * 300}",
        "paths.outputs=''",
        "paths.outputs=null",
        "paths.outputs=DATA/text.txt",
        "paths.outputs=/proc/x",
        "paths.outputs=a=b",
        '"paths.outputs=it\'s"',
        "'paths.outputs=a[1]'",
        "'paths.outputs=a{b'",
        "hydra.run.dir=x",
        "hydra.sweep.dir=x",
        "hydra.sweep.subdir=x",
        "hydra.job.chdir=true",
        "hydra.mode=RUN",
        "hydra.job.nmae=x",
        "'hydra.searchpath=[nothing]'",
        "hydra/launcher=vmap hydra.launcher.workers=0",
        "hydra/launcher=vmap hydra.launcher.workers=abc",
        "hydra.launcher.workers=0",
        "hydra/launcher=submitit_vmap hydra.launcher.cluster=pbs",
        "hydra/launcher=submitit_vmap hydra.launcher.group_size=0",
    ],
}

#: Trained as written: what `result.json` must hold, beside the values in `config.yaml`.
TRAINED: dict[str, dict[str, Any]] = {
    "task.train_size=100 task.batch_size=10 trainer.max_steps=20 trainer.max_epochs=2": {
        "steps": 20
    },
    "trainer.max_steps=5": {"steps": 5},
    "'task.k=${mul:2,3}'": {"steps": 4},
    "task.k=0": {"steps": 4},
    "\"task.k='4'\"": {},
    "optimizer.lr=0": {},
    "optimizer.lr=1": {},
    "optimizer.lr=1e30": {},
    "optimizer=sgd optimizer.momentum=0.9 optimizer.nesterov=true": {},
    "optimizer.fused=false optimizer.amsgrad=true": {},
    "gradient_clip_val=null": {},
    "optimizer.capturable=true": {},
    "optimizer=adamw optimizer.maximize=true": {},
    "scheduler=one_cycle optimizer=sgd scheduler.cycle_momentum=true": {},
    "task=convolution task.filter=null": {},
    "'model={hidden_size:3}'": {},
    "'task.input={scale:2}'": {},
    "scheduler=cosine scheduler.T_max=2": {},
    "scheduler=one_cycle scheduler.total_steps=100": {},
    "scheduler=plateau scheduler.patience=0": {},
    "trainer.precision=64-true": {},
    "trainer.precision=bf16-mixed": {},
    "trainer.precision=bf16-true": {},
    "trainer.precision=16-true": {},
    "trainer.sync_batchnorm=true": {},
    "trainer.max_time=00:00:10:00": {"steps": 4},
    "trainer.deterministic=true": {},
    "trainer.benchmark=true": {},
    "trainer.detect_anomaly=true": {},
    "trainer.log_every_n_steps=1": {},
    "trainer.val_check_interval=100": {},
    "callbacks.progress=null": {},
    "callbacks.snapshots=null callbacks.references=null": {},
    "callbacks.stop_at_target.target=1e9": {"steps": 2},
    "callbacks.stop_at_target.target=1e9 callbacks.stop_at_target.monitor=val/loss": {"steps": 2},
    "-m 'optimizer=glob(*)'": {"runs": 4},
    "-m 'model=glob(rn*)'": {"runs": 1},
    "-m 'task/input=glob(*)'": {"runs": 5},
    "-m 'seed=range(0,3)'": {"runs": 3},
    "-m seed=1,1": {"runs": 1},
    "'paths.outputs=\"a b\"'": {},
    "'paths.outputs=\"a=b\"'": {},
    '"paths.outputs=\\"it\'s\\""': {},
    "'paths.outputs=\"a[1]{2}\"'": {},
    "'paths.outputs=\"~/o\"'": {},
    "name=a/b": {},
    "'name=\"a b\"'": {},
    "logger=csv": {},
    "logger.tensorboard=null logger=tensorboard": {},
    "task.train_size=8 task.batch_size=16": {},
    "task=convolution 'task.filter=[1]'": {},
    "task=arrays task.path=DATA/pairs.npz": {},
    "model.hidden_size=1": {},
    "seed=99999999999999999999999": {},
}

#: Keys that are mistyped and given values of other kinds at random.
KEYS = {
    "int": ["task.k", "task.length", "task.train_size", "task.val_size", "task.batch_size",
            "task.channels", "task.seed", "model.hidden_size", "model.num_layers",
            "trainer.max_steps", "callbacks.checkpoints.every_n_steps",
            "callbacks.figures.sequences", "seed", "threads"],
    "float": ["optimizer.lr", "optimizer.eps", "optimizer.weight_decay", "task.input.scale",
              "task.input.length_scale", "model.gain", "model.dropout",
              "callbacks.snapshots.growth", "callbacks.progress.refresh_per_second",
              "callbacks.checkpoints.every_n_seconds"],
    "bool": ["task.online", "optimizer.amsgrad", "trainer.detect_anomaly", "force"],
    "str": ["callbacks.stop_at_target.monitor"],
}  # fmt: skip
WRONG = {
    "int": ("abc", "2.5", "null", "[1,2]", "{a:1}", "true", "inf", "nan", "1e2", "''"),
    "float": ("abc", "null", "[1,2]", "{a:1}", "true", "nan", "inf", "-inf", "1..5"),
    "bool": ("abc", "null", "2.5", "[true]", "{a:1}"),
    "str": ("null", "[a]", "{a:1}"),
}


def mistyped(count: int, rng: random.Random) -> Iterator[str]:
    """Overrides whose key has a letter too few, too many, or two in the wrong order."""
    keys = sorted(key for keys in KEYS.values() for key in keys)
    for key in rng.sample(keys, count):
        parent, dot, name = key.rpartition(".")
        at = rng.randrange(len(name) - 1) if len(name) > 1 else 0
        wrong = rng.choice(
            (
                name[:at] + name[at + 1 :] or f"{name}{name}",
                name[:at] + name[at] + name[at:],
                name + "_",
            )
        )
        yield f"{rng.choice(('', '+', '++'))}{parent}{dot}{wrong}=1"


def of_another_kind(count: int, rng: random.Random) -> Iterator[str]:
    """Overrides that give a key a value of another kind."""
    pairs = sorted((key, wrong) for kind in KEYS for key in KEYS[kind] for wrong in WRONG[kind])
    for key, wrong in rng.sample(pairs, count):
        yield f"{key}={shlex.quote(wrong)}"


def all_trials(seed: int = 0) -> list[Trial]:
    """All of them, the refused ones spread over the ways to ask."""
    rng = random.Random(seed)
    refused = [item for items in REFUSED.values() for item in items]
    refused += [*mistyped(15, rng), *of_another_kind(25, rng)]
    trials = []
    for index, item in enumerate(refused):
        text, key = item if isinstance(item, tuple) else (item, "")
        arguments = tuple(shlex.split(text))
        key = key or arguments[-1].partition("=")[0].lstrip("+~")
        trials.append(Trial(arguments, key, {}, _way(arguments, index)))
    for text, result in TRAINED.items():
        arguments = tuple(shlex.split(text))
        trials.append(Trial(arguments, None, result, "sweep" if "-m" in arguments else "run"))
    return trials


def _way(arguments: tuple[str, ...], index: int) -> str:
    """What only the command line can say is asked there, the others in turn."""
    if "-m" in arguments:
        return "sweep"
    special = any(a.startswith(("-", "hydra")) for a in arguments)
    return "run" if special else WAYS[index % len(WAYS)]
