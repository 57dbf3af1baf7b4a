use ndarray::Array4; use roentgen_layers::*; use roentgen_optim::*; use roentgen_tensor::rng::*;
use std::time::Instant;
fn main(){ let a:Vec<String>=std::env::args().collect(); let b:usize=a.get(1).map_or(128,|s|s.parse().unwrap()); let reps:usize=a.get(2).map_or(12,|s|s.parse().unwrap());
 let size:usize=a.get(3).map_or(24,|s|s.parse().unwrap()); let ch:usize=a.get(4).map_or(1,|s|s.parse().unwrap());let infer=a.get(5).is_some();
 let m=ResNet9Config::new(ch,3); let mut rng=CounterRng::new(0,Purpose::Synthetic,1,b as u64);
 let x=Array4::from_shape_simple_fn((b,size,size,ch),||rng.normal()); let l:Vec<u32>=(0..b).map(|i|(i%3) as u32).collect();
 let mut s=roentgen::step::TrainingStep::new(ResNet9::new(&m,0),LossHead::default(),AdamConfig::default()); let sch=OneCycle::new(0.001,1000);
 let mut ts=vec![]; for i in 0..reps{ let t=Instant::now(); if infer {s.model.forward(&x,Pass::Eval);} else {s.take(&x,&l,sch.at(500),Pass::Train{seed:0,step:i as u64});} if i>1{ts.push(t.elapsed().as_secs_f64());}}
 ts.sort_by(f64::total_cmp); let md=ts[ts.len()/2]; println!("b{b} {:.1} images/s {:.2} ms (min {:.2})",b as f64/md,md*1e3,ts[0]*1e3);
}
